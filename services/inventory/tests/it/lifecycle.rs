use ferrocart_test_kit::eventually;
use serde_json::json;

use crate::harness::{Shop, fresh, reserve_body, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_confirmed_and_deducted() {
    let shop = Shop::open().await;
    let (one, two) = (shop.sku(5).await, shop.sku(5).await);
    let order = fresh();
    let made = shop
        .reserve(order, &[(one, 1), (two, 2), (one, 1)])
        .await
        .expect(201);
    assert_eq!(made.json["status"], "RESERVED");
    assert_eq!(made.json["order_id"], json!(order));
    let items = json!([{"sku_id": one, "quantity": 2}, {"sku_id": two, "quantity": 2}]);
    assert_eq!(made.json["items"], items, "lines that share a SKU are summed");
    let id = text(&made.json["reservation_id"]);
    assert_eq!(
        made.headers["location"],
        format!("/v1/inventory/reservations/{id}")
    );
    assert_eq!(shop.reservation(&id).await, made.json);

    shop.command("deduct", &id)
        .await
        .expect_problem(409, "INVALID_STOCK_STATE");
    for _ in 0..2 {
        let confirmed = shop.command("confirm", &id).await.expect(200);
        assert_eq!(confirmed.json["status"], "CONFIRMED");
    }
    shop.advance(100_000);
    assert_eq!(
        shop.reservation(&id).await["status"],
        "CONFIRMED",
        "a confirmed one does not expire"
    );
    for _ in 0..2 {
        let deducted = shop.command("deduct", &id).await.expect(200);
        assert_eq!(deducted.json["status"], "DEDUCTED");
    }
    for command in ["confirm", "release"] {
        shop.command(command, &id)
            .await
            .expect_problem(409, "RESERVATION_ALREADY_DEDUCTED");
    }
    let stock = shop.stock(one).await;
    assert_eq!((&stock["on_hand"], &stock["reserved"]), (&json!(3), &json!(0)));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_reservation_is_over_and_its_units_are_for_sale() {
    let shop = Shop::open().await;
    let sku = shop.sku(2).await;
    let order = fresh();
    let made = shop.reserve(order, &[(sku, 2)]).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    let release = json!({"reservation_id": id, "reason": "PAYMENT_FAILED"});
    let released = shop.api.post("/v1/inventory/release", release).await.expect(200);
    assert_eq!(released.json["release_reason"], "PAYMENT_FAILED");
    let again = shop.command("release", &id).await.expect(200);
    assert_eq!(
        again.json["release_reason"], "PAYMENT_FAILED",
        "the first reason stays"
    );
    for command in ["confirm", "deduct"] {
        shop.command(command, &id)
            .await
            .expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    }
    shop.reserve(order, &[(sku, 2)])
        .await
        .expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    assert_eq!(shop.stock(sku).await["available"], 2);
    shop.reserved(&[(sku, 2)]).await;

    // Confirmed ones can be released as well: an order that is cancelled before it ships.
    let other = shop.sku(1).await;
    let id = shop.reserved(&[(other, 1)]).await;
    shop.command("confirm", &id).await.expect(200);
    let released = shop.command("release", &id).await.expect(200);
    assert_eq!(released.json["release_reason"], "CANCELLED");
    assert_eq!(shop.stock(other).await["available"], 1);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_again_gets_the_first_answer() {
    let shop = Shop::open().await;
    let (one, two) = (shop.sku(5).await, shop.sku(5).await);
    let order = fresh();
    let first = shop.reserve(order, &[(one, 1), (two, 1)]).await.expect(201);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    shop.advance(60);
    let again = shop.reserve(order, &[(two, 1), (one, 1)]).await.expect(201);
    assert_eq!(again.json, first.json, "the first answer, with its first expiry");
    assert_eq!(again.headers["idempotent-replayed"], "true");
    shop.reserve(order, &[(one, 2), (two, 1)])
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.stock(one).await["reserved"], 1);
    // A retry succeeds even when the stock is sold out meanwhile.
    shop.reserved(&[(one, 4)]).await;
    shop.reserve(order, &[(one, 1), (two, 1)]).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hold_is_as_long_as_asked() {
    let shop = Shop::open().await;
    let sku = shop.sku(5).await;
    let mut body = reserve_body(fresh(), &[(sku, 1)]);
    body["hold_seconds"] = json!(10);
    let made = shop.api.post("/v1/inventory/reserve", &body).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    shop.advance(9);
    assert_eq!(shop.reservation(&id).await["status"], "RESERVED");
    shop.advance(1);
    assert_eq!(shop.reservation(&id).await["status"], "RELEASED");
}

/// The sweeper is shut out, so that only the read and the confirmation can notice.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_seen_at_read_and_at_confirm_before_the_sweeper_comes() {
    let shop = Shop::open().await;
    let sku = shop.sku(2).await;
    let order = fresh();
    let made = shop.reserve(order, &[(sku, 1)]).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    // What the sweeper skips is what others work on; a shared lock lets the foreign readers through.
    let mut held = shop.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM reservations FOR UPDATE")
        .execute(&mut *held)
        .await
        .unwrap();
    shop.advance(901);
    let seen = shop.reservation(&id).await;
    assert_eq!(
        (&seen["status"], &seen["release_reason"]),
        (&json!("RELEASED"), &json!("EXPIRED"))
    );
    shop.reserve(order, &[(sku, 1)])
        .await
        .expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    let status: String = sqlx::query_scalar("SELECT status FROM reservations")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(status, "RESERVED", "the sweeper was to be shut out");
    let confirming = {
        let (api, body) = (shop.api.clone(), json!({"reservation_id": id}));
        ferrocart_telemetry::spawn(
            "confirm",
            async move { api.post("/v1/inventory/confirm", body).await },
        )
    };
    eventually("the confirmation to wait for the row", || async {
        (crate::harness::waiting_backends(&shop.pool).await == 1).then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    let refused = confirming.await.unwrap();
    let refused = refused.expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    assert_eq!(refused.json["release_reason"], "EXPIRED");
    eventually("the units to be for sale", || async {
        (shop.stock(sku).await["available"] == 2).then_some(())
    })
    .await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_releases_all_that_is_due_and_nothing_else() {
    let shop = Shop::open().await;
    let (one, two) = (shop.sku(500).await, shop.sku(500).await);
    for order in 0..250 {
        let items = if order % 2 == 0 {
            vec![(one, 1)]
        } else {
            vec![(one, 1), (two, 1)]
        };
        shop.reserved(&items).await;
    }
    let confirmed = shop.reserved(&[(one, 10)]).await;
    shop.command("confirm", &confirmed).await.expect(200);
    shop.advance(600);
    let young = shop.reserved(&[(two, 20)]).await;
    shop.advance(301);
    eventually("250 reservations to be released", || async {
        let released: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM reservations WHERE status = 'RELEASED' AND release_reason = 'EXPIRED'",
        )
        .fetch_one(&shop.pool)
        .await
        .unwrap();
        (released == 250).then_some(())
    })
    .await;
    assert_eq!(shop.stock(one).await["reserved"], 10);
    assert_eq!(shop.stock(two).await["reserved"], 20);
    assert_eq!(shop.reservation(&confirmed).await["status"], "CONFIRMED");
    assert_eq!(shop.reservation(&young).await["status"], "RESERVED");
    shop.audit().await;
}
