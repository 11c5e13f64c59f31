use ferrocart_http_kit::Role;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Shop, fresh, reserve_body};

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_initialised_read_set_adjusted_and_discontinued() {
    let shop = Shop::open().await;
    let sku = shop.listed();
    let path = format!("/v1/inventory/{sku}");
    let body = json!({"sku_id": sku, "on_hand": 7});
    let made = shop
        .merchant
        .post_once("/v1/inventory", &fresh().to_string(), &body)
        .await
        .expect(201);
    assert_eq!(
        made.json,
        json!({"sku_id": sku, "on_hand": 7, "reserved": 0, "available": 7, "version": 1})
    );
    shop.merchant
        .post_once("/v1/inventory", &fresh().to_string(), &body)
        .await
        .expect_problem(409, "INVALID_STOCK_STATE");

    let set = shop.merchant.put(&path, json!({"on_hand": 9})).await.expect(200);
    assert_eq!(
        (&set.json["available"], &set.json["version"]),
        (&json!(9), &json!(2))
    );
    let adjustment = json!({"delta": -4, "reason": "stock take", "channel": "store"});
    let adjusted = shop
        .merchant
        .post_once(&format!("{path}/adjustments"), "take-1", &adjustment)
        .await
        .expect(200);
    assert_eq!(adjusted.json["on_hand"], 5);

    let read = shop.api.get(&path).await.expect(200);
    assert_eq!(read.json, adjusted.json);
    assert_eq!(read.headers["etag"], "\"3\"");
    shop.audit().await;

    shop.merchant.delete(&path).await.expect(204);
    shop.api.get(&path).await.expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.merchant
        .delete(&path)
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.reserve(fresh(), &[(sku, 1)])
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.merchant
        .post_once("/v1/inventory", &fresh().to_string(), &body)
        .await
        .expect(201);
    assert_eq!(shop.stock(sku).await["available"], 7);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjustment_is_made_once_for_each_key() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}/adjustments");
    let body = json!({"delta": 5, "reason": "delivery", "channel": "web"});
    shop.merchant
        .post(&path, &body)
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    let first = shop.merchant.post_once(&path, "key-1", &body).await.expect(200);
    let again = shop.merchant.post_once(&path, "key-1", &body).await.expect(200);
    assert_eq!(first.json, again.json);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(shop.stock(sku).await["on_hand"], 15);
    let other = json!({"delta": 6, "reason": "delivery", "channel": "web"});
    shop.merchant
        .post_once(&path, "key-1", &other)
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");

    let wrong = [
        (json!({"delta": 0, "reason": "x", "channel": "web"}), "delta"),
        (json!({"delta": 1, "reason": "", "channel": "web"}), "reason"),
        (json!({"delta": 1, "reason": "x", "channel": "fax"}), "channel"),
        (
            json!({"delta": 1, "reason": "x", "channel": "web", "by": "me"}),
            "by",
        ),
    ];
    for (body, field) in wrong {
        let refused = shop.merchant.post_once(&path, "key-2", &body).await;
        let refused = refused.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.json["errors"][0]["field"], field);
    }
    shop.merchant
        .post_once(
            &format!("/v1/inventory/{}/adjustments", fresh()),
            "key-3",
            json!({"delta": 1, "reason": "x", "channel": "web"}),
        )
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_cannot_be_taken_away() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    shop.reserved(&[(sku, 6)]).await;
    let path = format!("/v1/inventory/{sku}");
    shop.merchant
        .put(&path, json!({"on_hand": 5}))
        .await
        .expect_problem(409, "INVALID_STOCK_STATE");
    shop.merchant
        .post_once(
            &format!("{path}/adjustments"),
            "k",
            json!({"delta": -5, "reason": "broken", "channel": "store"}),
        )
        .await
        .expect_problem(409, "INVALID_STOCK_STATE");
    shop.merchant.put(&path, json!({"on_hand": 6})).await.expect(200);
    assert_eq!(shop.stock(sku).await["available"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discontinued_sku_ships_what_is_reserved_and_sells_nothing_more() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let shipped = shop.reserved(&[(sku, 3)]).await;
    let released = shop.reserved(&[(sku, 2)]).await;
    shop.merchant
        .delete(&format!("/v1/inventory/{sku}"))
        .await
        .expect(204);
    shop.command("confirm", &shipped).await.expect(200);
    shop.command("deduct", &shipped).await.expect(200);
    shop.command("release", &released).await.expect(200);
    let left: (i64, i64) = sqlx::query_as("SELECT on_hand, reserved FROM stock WHERE sku_id = $1")
        .bind(sku)
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(
        left,
        (0, 0),
        "released units of a discontinued SKU went back on sale"
    );
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_an_older_version_is_refused() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}");
    let put = |etag: &'static str, on_hand: i64| {
        let (merchant, path) = (shop.merchant.clone(), path.clone());
        async move {
            let body = json!({"on_hand": on_hand});
            merchant
                .send(Method::PUT, &path, Some(&body), &[("if-match", etag)])
                .await
        }
    };
    put("\"1\"", 11).await.expect(200);
    put("\"1\"", 12).await.expect_problem(412, "PRECONDITION_FAILED");
    put("*", 13).await.expect(200);
    put("7", 14).await.expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(shop.stock(sku).await["on_hand"], 13);
}

/// What was seen a moment ago to be sold out is not what the answer to a merchant just said.
#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_added_is_sold_from_its_answer_on() {
    let shop = Shop::open().await;
    let sku = shop.sku(0).await;
    let reserve = || async {
        shop.api
            .post("/v1/inventory/reserve", reserve_body(fresh(), &[(sku, 1)]))
            .await
    };
    for round in 1..=10 {
        reserve().await.expect_problem(409, "INSUFFICIENT_STOCK");
        if round % 2 == 0 {
            let body = json!({"on_hand": round});
            shop.merchant
                .put(&format!("/v1/inventory/{sku}"), body)
                .await
                .expect(200);
        } else {
            let body = json!({"delta": 1, "reason": "delivery", "channel": "web"});
            let key = fresh().to_string();
            shop.merchant
                .post_once(&format!("/v1/inventory/{sku}/adjustments"), &key, body)
                .await
                .expect(200);
        }
        reserve().await.expect(201);
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_skus_are_initialised_and_read_at_once() {
    let shop = Shop::open().await;
    let skus: Vec<Uuid> = (0..1_000).map(|_| shop.listed()).collect();
    let items: Vec<_> = skus
        .iter()
        .map(|sku| json!({"sku_id": sku, "on_hand": 3}))
        .collect();
    let body = json!({"items": items});
    let first = shop
        .merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), &body)
        .await
        .expect(200);
    let statuses = |answer: &serde_json::Value, status: &str| {
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.len(), 1_000);
        items.iter().filter(|item| item["status"] == status).count()
    };
    assert_eq!(statuses(&first.json, "created"), 1_000);
    assert_eq!(first.json["items"][999]["sku_id"], json!(skus[999]));
    shop.reserved(&[(skus[0], 1)]).await;
    let again = shop
        .merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), &body)
        .await
        .expect(200);
    assert_eq!(statuses(&again.json, "existing"), 1_000);
    assert_eq!(
        again.json["items"][0]["reserved"], 1,
        "an existing SKU keeps its stock"
    );

    let unknown = fresh();
    let list = format!("{},{unknown},{}", skus[1], skus[0]);
    let read = shop
        .api
        .get(&format!("/v1/inventory?sku_ids={list}"))
        .await
        .expect(200);
    let found: Vec<_> = read.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["sku_id"].clone())
        .collect();
    assert_eq!(found, [json!(skus[1]), json!(skus[0])]);
    shop.audit().await;

    let too_many: Vec<_> = (0..1_001)
        .map(|_| json!({"sku_id": fresh(), "on_hand": 1}))
        .collect();
    for body in [json!({"items": too_many}), json!({"items": []})] {
        shop.merchant
            .post_once("/v1/inventory:batch", &fresh().to_string(), body)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    let list = vec![fresh().to_string(); 201].join(",");
    for list in ["", list.as_str()] {
        shop.api
            .get(&format!("/v1/inventory?sku_ids={list}"))
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anyone_reads_merchants_write_and_services_reserve() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}");
    let anonymous = shop.api.with_token(shop.env.keys.anonymous_token("inventory"));
    let customer = shop
        .api
        .with_token(shop.env.keys.new_user("inventory", &[Role::Customer]).1);
    anonymous.get(&path).await.expect(200);
    anonymous
        .get(&format!("/v1/inventory?sku_ids={sku}"))
        .await
        .expect(200);
    let stock = json!({"sku_id": fresh(), "on_hand": 1});
    let order = reserve_body(fresh(), &[(sku, 1)]);
    let command = json!({"reservation_id": fresh()});
    for (caller, status) in [(&anonymous, 401), (&customer, 403)] {
        caller.post("/v1/inventory", &stock).await.expect(status);
        caller
            .post("/v1/inventory:batch", json!({"items": [stock]}))
            .await
            .expect(status);
        caller.put(&path, json!({"on_hand": 1})).await.expect(status);
        caller.delete(&path).await.expect(status);
        let adjustment = json!({"delta": 1, "reason": "x", "channel": "web"});
        caller
            .post_once(&format!("{path}/adjustments"), "k", adjustment)
            .await
            .expect(status);
        caller
            .post_once("/v1/inventory/reserve", "k", &order)
            .await
            .expect(status);
        for name in ["confirm", "release", "deduct"] {
            caller
                .post(&format!("/v1/inventory/{name}"), &command)
                .await
                .expect(status);
        }
        caller
            .get(&format!("/v1/inventory/reservations/{}", fresh()))
            .await
            .expect(status);
    }
    shop.api
        .with_token("nonsense")
        .get(&path)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    assert_eq!(shop.stock(sku).await["available"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_cannot_be_rewritten_and_the_table_refuses_an_oversell() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    for statement in [
        "UPDATE stock_ledger SET on_hand_delta = 100",
        "DELETE FROM stock_ledger",
        "TRUNCATE stock_ledger",
    ] {
        let error = sqlx::query(statement).execute(&shop.pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    let error = sqlx::query("UPDATE stock SET reserved = 11 WHERE sku_id = $1")
        .bind(sku)
        .execute(&shop.pool)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("stock_reserved_within_on_hand"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_openapi_are_served() {
    let shop = Shop::open().await;
    let nobody = shop.api.with_token("");
    nobody.get("/health/live").await.expect(200);
    nobody.get("/health/ready").await.expect(200);
    shop.reserved(&[(shop.sku(1).await, 1)]).await;
    let metrics = nobody.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("inventory_reserve_total"), "{metrics}");
    let document = nobody.get("/openapi.json").await.expect(200).json;
    for path in [
        "/v1/inventory",
        "/v1/inventory:batch",
        "/v1/inventory/{sku_id}",
        "/v1/inventory/{sku_id}/adjustments",
        "/v1/inventory/{sku_id}/drift",
        "/v1/inventory/{sku_id}/history",
        "/v1/inventory/reserve",
        "/v1/inventory/confirm",
        "/v1/inventory/release",
        "/v1/inventory/deduct",
        "/v1/inventory/reservations/{reservation_id}",
    ] {
        assert!(document["paths"][path].is_object(), "{path} is not documented");
    }
}
