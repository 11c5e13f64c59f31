//! Holds of buyers, extensions, and orders that are over before they have a reservation.

use ferrocart_http_kit::Role;
use ferrocart_test_kit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, fresh, reserve_body, text};

fn hold_body(sku: Uuid, quantity: i64) -> Value {
    json!({"sku_id": sku, "quantity": quantity})
}

async fn extend(shop: &Shop, id: &str, seconds: i64) -> ferrocart_test_kit::Answer {
    let body = json!({"reservation_id": id, "hold_seconds": seconds});
    shop.api.post("/v1/inventory/extend", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_its_buyers_for_two_minutes() {
    let shop = Shop::open().await;
    let sku = shop.sku(3).await;
    let (buyer_id, buyer) = shop.user(&[Role::Customer]);
    let (_, stranger) = shop.user(&[Role::Customer]);
    let held = buyer
        .post_once("/v1/holds", "k", hold_body(sku, 2))
        .await
        .expect(201);
    assert_eq!(held.json["status"], "RESERVED");
    assert_eq!(
        (&held.json["sku_id"], &held.json["quantity"]),
        (&json!(sku), &json!(2))
    );
    let id = text(&held.json["hold_id"]);
    let path = format!("/v1/holds/{id}");
    assert_eq!(held.headers["location"], path);
    assert_eq!(shop.stock(sku).await["available"], 1);
    assert_eq!(shop.reservation(&id).await["buyer_id"], json!(buyer_id));

    let again = buyer
        .post_once("/v1/holds", "k", hold_body(sku, 2))
        .await
        .expect(201);
    assert_eq!(again.json, held.json);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["location"], path);
    buyer
        .post_once("/v1/holds", "k", hold_body(sku, 1))
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.stock(sku).await["available"], 1);

    stranger.get(&path).await.expect_problem(404, "HOLD_NOT_FOUND");
    stranger.delete(&path).await.expect_problem(404, "HOLD_NOT_FOUND");
    assert_eq!(buyer.get(&path).await.expect(200).json, held.json);
    shop.advance(119);
    assert_eq!(buyer.get(&path).await.expect(200).json["status"], "RESERVED");
    shop.advance(1);
    let over = buyer.get(&path).await.expect(200);
    assert_eq!(over.json["release_reason"], "EXPIRED");
    eventually("the units to be for sale", || async {
        (shop.stock(sku).await["available"] == 3).then_some(())
    })
    .await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_given_back_unless_an_order_has_it() {
    let shop = Shop::open().await;
    let sku = shop.sku(3).await;
    let (_, buyer) = shop.user(&[Role::Customer]);
    let hold = async |key: &str| {
        let held = buyer.post_once("/v1/holds", key, hold_body(sku, 1)).await;
        text(&held.expect(201).json["hold_id"])
    };
    let id = hold("one").await;
    for _ in 0..2 {
        let gone = buyer.delete(&format!("/v1/holds/{id}")).await.expect(200);
        assert_eq!(gone.json["release_reason"], "CANCELLED");
    }
    assert_eq!(shop.stock(sku).await["available"], 3);
    let id = hold("two").await;
    shop.command("confirm", &id).await.expect(200);
    buyer
        .delete(&format!("/v1/holds/{id}"))
        .await
        .expect_problem(409, "HOLD_ALREADY_REDEEMED");
    assert_eq!(shop.reservation(&id).await["status"], "CONFIRMED");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_refused_with_its_field() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let (_, buyer) = shop.user(&[Role::Customer]);
    let place = async |key: &str, body: Value| buyer.post_once("/v1/holds", key, body).await;
    let refused = place("1", json!({"sku_id": "x", "quantity": 1})).await;
    let refused = refused.expect_problem(400, "INVALID_PRODUCT_ID");
    assert_eq!(refused.json["errors"][0]["field"], "sku_id");
    let refused = place("2", hold_body(sku, 0))
        .await
        .expect_problem(400, "INVALID_QUANTITY");
    assert_eq!(refused.json["errors"][0]["field"], "quantity");
    place("3", hold_body(fresh(), 1))
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    let short = place("4", hold_body(sku, 2))
        .await
        .expect_problem(409, "INSUFFICIENT_STOCK");
    assert_eq!(
        short.json["errors"][0]["reason"],
        format!("{sku}: 2 requested, 1 available")
    );
    buyer
        .post("/v1/holds", hold_body(sku, 1))
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    shop.merchant
        .post_once("/v1/holds", "k", hold_body(sku, 1))
        .await
        .expect_problem(403, "FORBIDDEN");
    buyer
        .get("/v1/holds/x")
        .await
        .expect_problem(400, "INVALID_RESERVATION_ID");
    buyer
        .get(&format!("/v1/holds/{}", fresh()))
        .await
        .expect_problem(404, "HOLD_NOT_FOUND");
    assert_eq!(shop.stock(sku).await["available"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_bounded_and_not_for_what_is_over() {
    let shop = Shop::open().await;
    let sku = shop.sku(5).await;
    let mut body = reserve_body(fresh(), &[(sku, 1)]);
    body["hold_seconds"] = json!(60);
    let made = shop.api.post("/v1/inventory/reserve", &body).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    let ends = |answer: &Value| {
        text(&answer["expires_at"])
            .parse::<chrono::DateTime<chrono::Utc>>()
            .expect("a time")
    };
    let first = ends(&made.json);
    shop.advance(50);
    let longer = extend(&shop, &id, 900).await.expect(200);
    assert_eq!((ends(&longer.json) - first).num_seconds(), 890);
    // Never shorter.
    assert_eq!(extend(&shop, &id, 10).await.expect(200).json, longer.json);
    shop.advance(60);
    assert_eq!(shop.reservation(&id).await["status"], "RESERVED");
    for _ in 0..5 {
        shop.advance(600);
        extend(&shop, &id, 900).await.expect(200);
    }
    // An hour after it was made is the end.
    let last = extend(&shop, &id, 3_600).await.expect(200);
    assert_eq!((ends(&last.json) - first).num_seconds(), 3_600 - 60);
    shop.advance(490);
    extend(&shop, &id, 900)
        .await
        .expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    assert_eq!(shop.stock(sku).await["available"], 5);

    let released = shop.reserved(&[(sku, 1)]).await;
    shop.command("release", &released).await.expect(200);
    extend(&shop, &released, 900)
        .await
        .expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    let shipped = shop.reserved(&[(sku, 1)]).await;
    shop.command("confirm", &shipped).await.expect(200);
    assert_eq!(
        extend(&shop, &shipped, 900).await.expect(200).json["status"],
        "CONFIRMED"
    );
    shop.command("deduct", &shipped).await.expect(200);
    extend(&shop, &shipped, 900)
        .await
        .expect_problem(409, "RESERVATION_ALREADY_DEDUCTED");
    extend(&shop, &fresh().to_string(), 900)
        .await
        .expect_problem(404, "RESERVATION_NOT_FOUND");
    let refused = extend(&shop, &id, 9)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(refused.json["errors"][0]["field"], "hold_seconds");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_given_up_early_never_gets_units() {
    let shop = Shop::open().await;
    let sku = shop.sku(5).await;
    let order = fresh();
    let give_up = json!({"order_id": order, "reason": "PAYMENT_FAILED"});
    for _ in 0..2 {
        let over = shop.api.post("/v1/inventory/release", &give_up).await.expect(200);
        assert_eq!(over.json["release_reason"], "PAYMENT_FAILED");
        assert_eq!(over.json["items"], json!([]));
    }
    let refused = shop.reserve(order, &[(sku, 1)]).await;
    let refused = refused.expect_problem(409, "RESERVATION_ALREADY_RELEASED");
    assert_eq!(refused.json["release_reason"], "PAYMENT_FAILED");
    assert_eq!(shop.stock(sku).await["available"], 5);
    // One that has a reservation is released.
    let order = fresh();
    shop.reserve(order, &[(sku, 2)]).await.expect(201);
    let give_up = json!({"order_id": order});
    shop.api.post("/v1/inventory/release", &give_up).await.expect(200);
    assert_eq!(shop.stock(sku).await["available"], 5);
    for body in [json!({}), json!({"order_id": order, "reservation_id": order})] {
        shop.api
            .post("/v1/inventory/release", &body)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    shop.audit().await;
}

/// Whoever comes first, both agree, and nothing stays held.
#[tokio::test(flavor = "multi_thread")]
async fn reserving_and_giving_up_at_once_leaves_nothing_held() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let orders: Vec<Uuid> = (0..100).map(|_| fresh()).collect();
    let races = orders.into_iter().map(async |order| {
        let (give_up, line) = (json!({"order_id": order}), [(sku, 1)]);
        let (_, released) = tokio::join!(
            shop.reserve(order, &line),
            shop.api.post("/v1/inventory/release", &give_up)
        );
        released.expect(200);
    });
    futures::future::join_all(races).await;
    assert_eq!(shop.stock(sku).await["available"], 1_000);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_order_service_moves_reservations_and_no_service_writes_stock() {
    let shop = Shop::open().await;
    let sku = shop.sku(5).await;
    let id = shop.reserved(&[(sku, 1)]).await;
    let catalog = shop
        .api
        .with_token(shop.env.keys.service_token("catalog", "inventory"));
    let named = json!({"reservation_id": id, "hold_seconds": 60});
    for (path, body) in [
        ("/v1/inventory/reserve", reserve_body(fresh(), &[(sku, 1)])),
        ("/v1/inventory/confirm", json!({"reservation_id": id})),
        ("/v1/inventory/release", json!({"reservation_id": id})),
        ("/v1/inventory/deduct", json!({"reservation_id": id})),
        ("/v1/inventory/extend", named.clone()),
    ] {
        catalog.post(path, body).await.expect_problem(403, "FORBIDDEN");
    }
    shop.merchant
        .post_once("/v1/inventory/extend", "k", named)
        .await
        .expect_problem(403, "FORBIDDEN");
    shop.merchant
        .post_once("/v1/inventory/release", "k", json!({"order_id": fresh()}))
        .await
        .expect_problem(403, "FORBIDDEN");
    shop.api
        .put(&format!("/v1/inventory/{sku}"), json!({"on_hand": 9}))
        .await
        .expect_problem(403, "FORBIDDEN");
    assert_eq!(shop.reservation(&id).await["status"], "RESERVED");
}
