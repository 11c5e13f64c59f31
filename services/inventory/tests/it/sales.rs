//! Flash sales: their life, and what one buyer may have.

use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{PATIENCE, Shop, fresh, text};

fn ask(order: Uuid, buyer: Uuid, sku: Uuid, quantity: i64) -> Value {
    json!({"order_id": order, "buyer_id": buyer, "items": [{"sku_id": sku, "quantity": quantity}]})
}

async fn buy(api: &Api, buyer: Uuid, sku: Uuid, quantity: i64) -> Answer {
    api.post("/v1/inventory/reserve", ask(fresh(), buyer, sku, quantity))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_made_preloaded_started_and_stopped() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let sale = shop.drafted(sku, 1, 5).await;
    let path = format!("/v1/flash-sales/{sale}");
    let (_, customer) = shop.user(&[Role::Customer]);
    customer.get(&path).await.expect_problem(404, "SALE_NOT_FOUND");
    let again = json!({"sku_id": sku, "name": "x", "units_per_buyer_max": 1});
    let again = shop.merchant.post_once("/v1/flash-sales", "again", again).await;
    again.expect_problem(409, "SALE_EXISTS");
    // A draft changes nothing.
    buy(&shop.api, fresh(), sku, 3).await.expect(201);
    shop.command_sale(sale, "start")
        .await
        .expect_problem(409, "INVALID_TRANSITION");

    let preloaded = shop.command_sale(sale, "preload").await.expect(200);
    assert_eq!(preloaded.json["state"], "PRELOADED");
    assert!(
        shop.admission
            .status(ferrocart_types::SkuId(sku))
            .is_some_and(|status| status.ready)
    );
    let early = buy(&shop.api, fresh(), sku, 1)
        .await
        .expect_problem(409, "SALE_NOT_STARTED");
    assert_eq!(early.json["errors"][0]["field"], "items[0].sku_id");
    let waiting = customer
        .post_once("/v1/waitlist", "early", json!({"sku_id": sku}))
        .await;
    waiting.expect_problem(409, "SALE_NOT_STARTED");

    assert_eq!(
        shop.command_sale(sale, "start").await.expect(200).json["state"],
        "LIVE"
    );
    assert_eq!(
        shop.command_sale(sale, "start").await.expect(200).json["state"],
        "LIVE"
    );
    let nameless = shop.reserve(fresh(), &[(sku, 1)]).await;
    let nameless = nameless.expect_problem(400, "BUYER_REQUIRED");
    assert_eq!(nameless.json["errors"][0]["field"], "buyer_id");
    buy(&shop.api, fresh(), sku, 2)
        .await
        .expect_problem(409, "PURCHASE_LIMIT_EXCEEDED");
    buy(&shop.api, fresh(), sku, 1).await.expect(201);

    assert_eq!(
        shop.command_sale(sale, "stop").await.expect(200).json["state"],
        "ENDED"
    );
    shop.command_sale(sale, "start")
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    assert!(shop.admission.status(ferrocart_types::SkuId(sku)).is_none());
    shop.reserve(fresh(), &[(sku, 3)]).await.expect(201);
    let waiting = customer
        .post_once("/v1/waitlist", "late", json!({"sku_id": sku}))
        .await;
    waiting.expect_problem(409, "NO_SALE");
    let listed = customer.get("/v1/flash-sales").await.expect(200);
    assert_eq!(listed.json["items"][0]["sale_id"], json!(sale));
    shop.drafted(sku, 1, 5).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_holds_the_transitions_too() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let sale = shop.drafted(sku, 1, 5).await;
    let set = |state: &'static str| {
        let pool = shop.pool.clone();
        async move {
            sqlx::query(
                "UPDATE flash_sales SET state = $2, started_at = CASE WHEN $2 = 'LIVE' THEN now() END,
                        ended_at = CASE WHEN $2 = 'ENDED' THEN now() END WHERE sale_id = $1",
            )
            .bind(sale)
            .bind(state)
            .execute(&pool)
            .await
            .map(|_| ())
            .map_err(|error| ferrocart_pg_kit::sqlstate(&error).expect("a state"))
        }
    };
    assert_eq!(set("LIVE").await, Err("23514".to_owned()));
    set("PRELOADED").await.expect("forward");
    assert_eq!(set("DRAFT").await, Err("23514".to_owned()));
    set("LIVE").await.expect("forward");
    set("ENDED").await.expect("forward");
    for state in ["DRAFT", "PRELOADED", "LIVE"] {
        assert_eq!(set(state).await, Err("23514".to_owned()), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_the_merchants_own_and_its_request_is_checked() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let (_, other) = shop.user(&[Role::Merchant]);
    let (_, customer) = shop.user(&[Role::Customer]);
    let body = |sku: Uuid| json!({"sku_id": sku, "name": "x", "units_per_buyer_max": 1});
    other
        .post_once("/v1/flash-sales", "1", body(sku))
        .await
        .expect_problem(403, "FORBIDDEN");
    customer
        .post_once("/v1/flash-sales", "1", body(sku))
        .await
        .expect_problem(403, "FORBIDDEN");
    shop.merchant
        .post("/v1/flash-sales", body(sku))
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    for (field, value) in [
        ("units_per_buyer_max", json!(0)),
        ("waitlist_units_max", json!(-1)),
        ("shards", json!(65)),
        ("name", json!("")),
        ("ends_at", json!("2001-01-01T00:00:00Z")),
    ] {
        let mut wrong = body(sku);
        wrong[field] = value;
        let refused = shop.merchant.post_once("/v1/flash-sales", field, wrong).await;
        let refused = refused.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.json["errors"][0]["field"], field);
    }
    let first = shop
        .merchant
        .post_once("/v1/flash-sales", "key", body(sku))
        .await
        .expect(201);
    let second = shop
        .merchant
        .post_once("/v1/flash-sales", "key", body(sku))
        .await
        .expect(201);
    assert_eq!(first.json, second.json);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    let path = format!("/v1/flash-sales/{}/preload", text(&first.json["sale_id"]));
    other
        .post(&path, json!({}))
        .await
        .expect_problem(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_starts_and_stops_by_the_clock() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let now = ferrocart_types::Clock::now(&*shop.clock);
    let (starts, ends) = (
        now + chrono::TimeDelta::hours(1),
        now + chrono::TimeDelta::hours(2),
    );
    let body = json!({"sku_id": sku, "name": "x", "units_per_buyer_max": 1,
                      "starts_at": starts.to_rfc3339(), "ends_at": ends.to_rfc3339()});
    let made = shop
        .merchant
        .post_once("/v1/flash-sales", "key", body)
        .await
        .expect(201);
    let path = format!("/v1/flash-sales/{}", text(&made.json["sale_id"]));
    assert_eq!(made.json["state"], "DRAFT");
    for state in ["LIVE", "ENDED"] {
        shop.advance(3_601);
        let reached = async {
            while shop.merchant.get(&path).await.expect(200).json["state"] != state {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect(state);
    }
}

/// One buyer, two replicas, fifty requests at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_buyer_gets_no_more_than_the_limit_however_often_they_ask() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    // More than all ask for: the counter in front turns nobody away.
    let (sku, _) = shop.sale(100, 2, 0).await;
    let (eager, others) = (fresh(), [fresh(), fresh()]);
    let asks: Vec<_> = (0..60)
        .map(|n| {
            let api = if n % 2 == 0 { &shop.api } else { &replica.api }.clone();
            let buyer = if n < 50 { eager } else { others[n % 2] };
            ferrocart_telemetry::spawn("buyer", async move { (buyer, buy(&api, buyer, sku, 1).await) })
        })
        .collect();
    let mut granted = std::collections::HashMap::new();
    for ask in asks {
        let (buyer, answer) = ask.await.expect("an answer");
        if answer.status == 201 {
            *granted.entry(buyer).or_insert(0) += 1;
        } else {
            answer.expect_problem(409, "PURCHASE_LIMIT_EXCEEDED");
        }
    }
    assert_eq!(granted, [(eager, 2), (others[0], 2), (others[1], 2)].into());
    assert_eq!(shop.stock(sku).await["reserved"], 6);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_or_expires_counts_no_more() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(10, 2, 0).await;
    let buyer = fresh();
    let first = buy(&shop.api, buyer, sku, 2).await.expect(201);
    buy(&shop.api, buyer, sku, 1)
        .await
        .expect_problem(409, "PURCHASE_LIMIT_EXCEEDED");
    shop.command("release", &text(&first.json["reservation_id"]))
        .await
        .expect(200);
    let second = ask(fresh(), buyer, sku, 2);
    shop.api.post("/v1/inventory/reserve", &second).await.expect(201);
    // The same order again is not a second purchase.
    shop.api.post("/v1/inventory/reserve", &second).await.expect(201);
    shop.advance(901);
    let free_again = async {
        while shop.stock(sku).await["reserved"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free_again)
        .await
        .expect("the sweeper");
    let third = buy(&shop.api, buyer, sku, 2).await.expect(201);
    let id = text(&third.json["reservation_id"]);
    shop.command("confirm", &id).await.expect(200);
    shop.command("deduct", &id).await.expect(200);
    // What was shipped is the buyer's for good.
    buy(&shop.api, buyer, sku, 1)
        .await
        .expect_problem(409, "PURCHASE_LIMIT_EXCEEDED");
    shop.audit().await;
}
