use serde_json::json;
use uuid::Uuid;

use crate::harness::{Shop, default_batcher, fresh, hold_row, reserve_body, text, waiting_backends};

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field_and_carry_the_code_of_their_kind() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let item = json!({"sku_id": sku, "quantity": 1});
    let order = fresh();
    let cases = [
        (
            json!({"order_id": "x", "items": [item]}),
            "INVALID_ORDER_ID",
            "order_id",
        ),
        (
            json!({"order_id": order, "items": [item, {"sku_id": "x", "quantity": 1}]}),
            "INVALID_PRODUCT_ID",
            "items[1].sku_id",
        ),
        (
            json!({"order_id": order, "items": [{"sku_id": sku, "quantity": 0}]}),
            "INVALID_QUANTITY",
            "items[0].quantity",
        ),
        (
            json!({"order_id": order, "items": [{"sku_id": sku, "quantity": 10_001}]}),
            "INVALID_QUANTITY",
            "items[0].quantity",
        ),
        (
            json!({"order_id": order, "items": []}),
            "VALIDATION_ERROR",
            "items",
        ),
        (
            json!({"order_id": order, "items": vec![&item; 101]}),
            "VALIDATION_ERROR",
            "items",
        ),
        (
            json!({"order_id": order, "items": [item], "hold_seconds": 9}),
            "VALIDATION_ERROR",
            "hold_seconds",
        ),
        (
            json!({"order_id": order, "items": [item], "hold_seconds": 3601}),
            "VALIDATION_ERROR",
            "hold_seconds",
        ),
        (
            json!({"order_id": order, "items": [item], "vip": true}),
            "VALIDATION_ERROR",
            "vip",
        ),
    ];
    for (body, code, field) in cases {
        let refused = shop.api.post("/v1/inventory/reserve", &body).await;
        let refused = refused.expect_problem(400, code);
        assert_eq!(refused.json["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(shop.stock(sku).await["reserved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ids_in_paths_and_commands_are_refused() {
    let shop = Shop::open().await;
    for path in ["/v1/inventory/x", "/v1/inventory?sku_ids=x"] {
        shop.api.get(path).await.expect_problem(400, "INVALID_PRODUCT_ID");
    }
    shop.api
        .get("/v1/inventory/reservations/x")
        .await
        .expect_problem(400, "INVALID_RESERVATION_ID");
    for command in ["confirm", "release", "deduct"] {
        shop.command(command, "x")
            .await
            .expect_problem(400, "INVALID_RESERVATION_ID");
    }
    let expire = json!({"reservation_id": fresh(), "reason": "EXPIRED"});
    shop.api
        .post("/v1/inventory/release", expire)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    let negative = json!({"sku_id": fresh(), "on_hand": -1});
    shop.merchant
        .post_once("/v1/inventory", &fresh().to_string(), negative)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404() {
    let shop = Shop::open().await;
    let (sku, unknown) = (shop.sku(10).await, fresh());
    shop.api
        .get(&format!("/v1/inventory/{unknown}"))
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.merchant
        .put(&format!("/v1/inventory/{unknown}"), json!({"on_hand": 1}))
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    let refused = shop.reserve(fresh(), &[(sku, 1), (unknown, 1)]).await;
    let refused = refused.expect_problem(404, "PRODUCT_NOT_FOUND");
    assert_eq!(refused.json["errors"][0]["field"], "items[1].sku_id");
    let nobody = fresh().to_string();
    shop.api
        .get(&format!("/v1/inventory/reservations/{nobody}"))
        .await
        .expect_problem(404, "RESERVATION_NOT_FOUND");
    for command in ["confirm", "release", "deduct"] {
        shop.command(command, &nobody)
            .await
            .expect_problem(404, "RESERVATION_NOT_FOUND");
    }
    assert_eq!(shop.stock(sku).await["reserved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_names_lines_and_figures_and_takes_nothing() {
    let shop = Shop::open().await;
    let (plenty, scarce) = (shop.sku(10).await, shop.sku(3).await);
    let refused = shop
        .reserve(fresh(), &[(plenty, 1), (scarce, 2), (plenty, 1), (scarce, 2)])
        .await
        .expect_problem(409, "INSUFFICIENT_STOCK");
    assert_eq!(
        refused.json["errors"],
        json!([{"field": "items[1].sku_id", "reason": format!("{scarce}: 4 requested, 3 available")}])
    );
    for sku in [plenty, scarce] {
        assert_eq!(shop.stock(sku).await["reserved"], 0);
    }
    assert_eq!(shop.count_reservations().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_need_an_idempotency_key_to_reserve() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let body = reserve_body(fresh(), &[(sku, 1)]);
    shop.merchant
        .post("/v1/inventory/reserve", &body)
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    shop.merchant
        .post_once("/v1/inventory/reserve", "bad key", &body)
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_INVALID");
    shop.merchant
        .post_once("/v1/inventory/reserve", "k", &body)
        .await
        .expect(201);
    let again = shop
        .merchant
        .post_once("/v1/inventory/reserve", "k", &body)
        .await
        .expect(201);
    assert_eq!(again.headers["idempotent-replayed"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_503_with_retry_after() {
    let mut settings = default_batcher();
    (settings.lanes, settings.batch_max, settings.lane_queue_max) = (1, 1, 1);
    let shop = Shop::open_with(settings).await;
    let sku = shop.sku(10).await;
    let held = hold_row(&shop.pool, sku).await;
    // One is in the lane, one in the queue; of four at least two find it full.
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let (api, body) = (shop.api.clone(), reserve_body(fresh(), &[(sku, 1)]));
            ferrocart_telemetry::spawn(
                "reserve",
                async move { api.post("/v1/inventory/reserve", body).await },
            )
        })
        .collect();
    ferrocart_test_kit::eventually("two requests to be turned away", || async {
        (requests.iter().filter(|request| request.is_finished()).count() >= 2).then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    let (mut granted, mut refused) = (0, 0);
    for request in requests {
        let answer = request.await.unwrap();
        if answer.status == 201 {
            granted += 1;
        } else {
            let answer = answer.expect_problem(503, "OVERLOADED");
            assert_eq!(answer.headers["retry-after"], "1");
            assert_eq!(answer.json["retryable"], true);
            refused += 1;
        }
    }
    assert!(
        granted >= 1 && refused >= 2,
        "{granted} granted, {refused} refused"
    );
    assert_eq!(shop.stock(sku).await["reserved"], granted);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_time_is_503_and_a_retry_finds_out() {
    let mut settings = default_batcher();
    settings.answer_timeout_ms = 200;
    let shop = Shop::open_with(settings).await;
    let sku = shop.sku(10).await;
    let held = hold_row(&shop.pool, sku).await;
    let order = fresh();
    let late = shop.reserve(order, &[(sku, 1)]).await;
    let late = late.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    assert_eq!(late.headers["retry-after"], "1");
    held.rollback().await.unwrap();
    ferrocart_test_kit::eventually("the retry to be answered", || async {
        (shop.reserve(order, &[(sku, 1)]).await.status == 201).then_some(())
    })
    .await;
    assert_eq!(shop.stock(sku).await["reserved"], 1);
    assert_eq!(waiting_backends(&shop.pool).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_ours_is_500_and_takes_nothing() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let order = fresh();
    rename(&shop, "stock_ledger", "stock_ledger_gone").await;
    shop.reserve(order, &[(sku, 1)])
        .await
        .expect_problem(500, "INTERNAL_ERROR");
    rename(&shop, "stock_ledger_gone", "stock_ledger").await;
    assert_eq!(shop.stock(sku).await["reserved"], 0);
    let answer = shop.reserve(order, &[(sku, 1)]).await.expect(201);
    assert_eq!(text(&answer.json["order_id"]).parse::<Uuid>().unwrap(), order);
    shop.audit().await;
}

async fn rename(shop: &Shop, from: &str, to: &str) {
    sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}")))
        .execute(&shop.pool)
        .await
        .expect("renaming");
}
