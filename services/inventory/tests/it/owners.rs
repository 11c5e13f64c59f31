//! A merchant writes, reserves and sees their own stock alone (I8).

use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, fresh, reserve_body};

async fn merchant_of(shop: &Shop, sku: Uuid) -> Option<Uuid> {
    sqlx::query_scalar("SELECT merchant_id FROM stock WHERE sku_id = $1")
        .bind(sku)
        .fetch_one(&shop.pool)
        .await
        .expect("one")
}

fn stock(sku: Uuid) -> Value {
    json!({"sku_id": sku, "on_hand": 5})
}

fn fields(answer: &Answer) -> Vec<&str> {
    let errors = answer.json["errors"].as_array().expect("one");
    errors
        .iter()
        .map(|error| error["field"].as_str().expect("one"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_given_to_what_the_catalog_lists_as_ones_own() {
    let shop = Shop::open().await;
    let (other_id, other) = shop.user(&[Role::Merchant]);
    let (mine, draft, unknown) = (shop.listed(), fresh(), fresh());
    shop.catalog.list(draft, shop.merchant_id, "draft");
    let foreign = fresh();
    shop.catalog.list(foreign, other_id, "active");

    let refused = shop
        .merchant
        .post_once("/v1/inventory", &fresh().to_string(), stock(unknown))
        .await;
    assert_eq!(
        fields(&refused.expect_problem(404, "PRODUCT_NOT_FOUND")),
        ["sku_id"]
    );
    let refused = shop
        .merchant
        .post_once("/v1/inventory", &fresh().to_string(), stock(foreign))
        .await;
    assert_eq!(fields(&refused.expect_problem(403, "FORBIDDEN")), ["sku_id"]);
    let batch = json!({"items": [stock(mine), stock(unknown), stock(draft), stock(unknown)]});
    let refused = shop
        .merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), batch)
        .await;
    let refused = refused.expect_problem(404, "PRODUCT_NOT_FOUND");
    assert_eq!(fields(&refused), ["items[1].sku_id", "items[3].sku_id"]);
    let batch = json!({"items": [stock(mine), stock(foreign)]});
    let refused = shop
        .merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), batch)
        .await;
    assert_eq!(
        fields(&refused.expect_problem(403, "FORBIDDEN")),
        ["items[1].sku_id"]
    );
    for sku in [mine, foreign, unknown] {
        let nothing = shop.api.get(&format!("/v1/inventory/{sku}")).await;
        nothing.expect_problem(404, "PRODUCT_NOT_FOUND");
    }

    shop.merchant
        .post_once("/v1/inventory", &fresh().to_string(), stock(mine))
        .await
        .expect(201);
    let batch = json!({"items": [stock(mine), stock(draft)]});
    let given = shop
        .merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), batch)
        .await
        .expect(200);
    assert_eq!(given.json["items"][1]["status"], "created");
    for sku in [mine, draft] {
        assert_eq!(merchant_of(&shop, sku).await, Some(shop.merchant_id.as_uuid()));
    }
    // What stands in a row is asked no more, and is not another's to take over.
    let before = shop.catalog.calls();
    let refused = other
        .post_once("/v1/inventory", &fresh().to_string(), stock(mine))
        .await;
    refused.expect_problem(403, "FORBIDDEN");
    assert_eq!(shop.catalog.calls(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_the_catalogs_is_asked_in_parts() {
    let shop = Shop::open().await;
    let items: Vec<Value> = (0..450).map(|_| stock(shop.listed())).collect();
    let body = json!({"items": items});
    shop.merchant
        .post_once("/v1/inventory:batch", &fresh().to_string(), body)
        .await
        .expect(200);
    assert_eq!(shop.catalog.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_catalog_no_new_stock_is_given_and_known_stock_is_kept() {
    let shop = Shop::open().await;
    let sku = shop.sku(5).await;
    let new = shop.listed();
    shop.catalog.go_away();
    let refused = shop
        .merchant
        .post_once("/v1/inventory", &fresh().to_string(), stock(new))
        .await;
    refused.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    let path = format!("/v1/inventory/{sku}");
    shop.merchant.put(&path, json!({"on_hand": 6})).await.expect(200);

    let gone = Shop::open_set(|settings| settings.catalog_url = "http://127.0.0.1:1".to_owned()).await;
    let refused = gone
        .merchant
        .post_once("/v1/inventory", &fresh().to_string(), stock(gone.listed()))
        .await;
    let refused = refused.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    assert!(refused.headers.contains_key("retry-after"));
    let (_, admin) = gone.user(&[Role::Admin]);
    admin
        .post_once("/v1/inventory", &fresh().to_string(), stock(fresh()))
        .await
        .expect(201);
}

/// All that a merchant may do with a SKU and its reservations.
async fn everything(api: &Api, sku: Uuid, reservation: &str) -> Vec<(&'static str, Answer)> {
    let path = format!("/v1/inventory/{sku}");
    let adjustment = json!({"delta": 1, "reason": "x", "channel": "web"});
    let key = fresh().to_string();
    let mut answers = vec![
        ("set", api.put(&path, json!({"on_hand": 20})).await),
        (
            "adjust",
            api.post_once(&format!("{path}/adjustments"), &key, adjustment)
                .await,
        ),
        (
            "reserve",
            api.post_once(
                "/v1/inventory/reserve",
                &fresh().to_string(),
                reserve_body(fresh(), &[(sku, 1)]),
            )
            .await,
        ),
        (
            "read a reservation",
            api.get(&format!("/v1/inventory/reservations/{reservation}"))
                .await,
        ),
    ];
    for name in ["confirm", "deduct", "release"] {
        let body = json!({"reservation_id": reservation});
        let key = fresh().to_string();
        answers.push((
            name,
            api.post_once(&format!("/v1/inventory/{name}"), &key, body).await,
        ));
    }
    answers.push(("discontinue", api.delete(&path).await));
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_neither_changed_nor_seen() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let reservation = shop.reserved(&[(sku, 2)]).await;
    let before = shop.stock(sku).await;
    let (_, other) = shop.user(&[Role::Merchant]);
    for (name, answer) in everything(&other, sku, &reservation).await {
        assert_eq!(answer.status, 403, "{name}: {}", answer.text);
    }
    assert_eq!(shop.stock(sku).await, before);
    assert_eq!(shop.reservation(&reservation).await["status"], "RESERVED");
    for (name, answer) in everything(&shop.merchant, sku, &reservation).await {
        let refused_release = name == "release" && answer.json["code"] == "RESERVATION_ALREADY_DEDUCTED";
        assert!(
            answer.status.is_success() || refused_release,
            "{name}: {}",
            answer.text
        );
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_over_two_merchants_is_neithers_to_move() {
    let shop = Shop::open().await;
    let (other_id, other) = shop.user(&[Role::Merchant]);
    let theirs = fresh();
    shop.catalog.list(theirs, other_id, "active");
    other
        .post_once("/v1/inventory", &fresh().to_string(), stock(theirs))
        .await
        .expect(201);
    let mine = shop.sku(5).await;
    let reservation = shop.reserved(&[(mine, 1), (theirs, 1)]).await;
    let body = json!({"reservation_id": reservation});
    for merchant in [&shop.merchant, &other] {
        merchant
            .post_once("/v1/inventory/release", "k", &body)
            .await
            .expect_problem(403, "FORBIDDEN");
    }
    let order = reserve_body(fresh(), &[(mine, 1), (theirs, 1)]);
    let refused = shop
        .merchant
        .post_once("/v1/inventory/reserve", "k2", order)
        .await;
    assert_eq!(
        fields(&refused.expect_problem(403, "FORBIDDEN")),
        ["items[1].sku_id"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_do_all_and_an_owner_is_learned_later() {
    let shop = Shop::open().await;
    let (_, admin) = shop.user(&[Role::Admin]);
    let sku = shop.listed();
    admin
        .post_once("/v1/inventory", &fresh().to_string(), stock(sku))
        .await
        .expect(201);
    let path = format!("/v1/inventory/{sku}");
    admin.put(&path, json!({"on_hand": 7})).await.expect(200);
    assert_eq!(merchant_of(&shop, sku).await, None);
    assert_eq!(shop.catalog.calls(), 0, "administrators need no catalog");

    let (_, stranger) = shop.user(&[Role::Merchant]);
    stranger
        .put(&path, json!({"on_hand": 8}))
        .await
        .expect_problem(403, "FORBIDDEN");
    shop.merchant.put(&path, json!({"on_hand": 8})).await.expect(200);
    assert_eq!(merchant_of(&shop, sku).await, Some(shop.merchant_id.as_uuid()));
    // Neither row nor catalog knows whose this is: it is nobody's.
    let nobodys = fresh();
    admin
        .post_once("/v1/inventory", &fresh().to_string(), stock(nobodys))
        .await
        .expect(201);
    shop.merchant
        .put(&format!("/v1/inventory/{nobodys}"), json!({"on_hand": 8}))
        .await
        .expect_problem(403, "FORBIDDEN");
}
