//! Idempotency-Key: required of users for all that moves stock, and one answer for each.

use serde_json::json;

use crate::harness::{Shop, fresh, reserve_body};

#[tokio::test(flavor = "multi_thread")]
async fn users_send_a_key_with_all_that_moves_stock_and_services_need_none() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let reservation = shop.reserved(&[(sku, 1)]).await;
    let stock = json!({"sku_id": shop.listed(), "on_hand": 1});
    let command = json!({"reservation_id": reservation});
    let requests = [
        ("/v1/inventory", stock.clone()),
        ("/v1/inventory:batch", json!({"items": [stock]})),
        ("/v1/inventory/reserve", reserve_body(fresh(), &[(sku, 1)])),
        ("/v1/inventory/confirm", command.clone()),
        ("/v1/inventory/deduct", command.clone()),
        ("/v1/inventory/release", command),
    ];
    for (path, body) in &requests {
        let refused = shop.merchant.post(path, body).await;
        refused.expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
        let refused = shop.merchant.post_once(path, "a b", body).await;
        refused.expect_problem(400, "IDEMPOTENCY_KEY_INVALID");
    }
    assert_eq!(shop.stock(sku).await["reserved"], 1);
    for (path, body) in &requests[2..5] {
        let answer = shop.api.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_stock_again_with_the_same_key_gets_the_first_answer() {
    let shop = Shop::open().await;
    let sku = shop.listed();
    let path = format!("/v1/inventory/{sku}");
    let body = json!({"sku_id": sku, "on_hand": 7});
    let first = shop
        .merchant
        .post_once("/v1/inventory", "k", &body)
        .await
        .expect(201);
    assert_eq!(first.headers["etag"], "\"1\"");
    assert!(!first.headers.contains_key("idempotent-replayed"));
    shop.merchant.put(&path, json!({"on_hand": 9})).await.expect(200);
    let again = shop
        .merchant
        .post_once("/v1/inventory", "k", &body)
        .await
        .expect(201);
    assert_eq!(
        (&again.text, &again.headers["etag"]),
        (&first.text, &first.headers["etag"])
    );
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(shop.stock(sku).await["on_hand"], 9);

    let other = json!({"sku_id": sku, "on_hand": 8});
    let refused = shop.merchant.post_once("/v1/inventory", "k", &other).await;
    refused.expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let refused = shop.merchant.post_once("/v1/inventory", "k2", &body).await;
    refused.expect_problem(409, "INVALID_STOCK_STATE");
    // A refusal did nothing, and its key may be sent again when there is nothing to refuse.
    shop.merchant.delete(&path).await.expect(204);
    shop.merchant
        .post_once("/v1/inventory", "k2", &body)
        .await
        .expect(201);

    let batch = json!({"items": [{"sku_id": shop.listed(), "on_hand": 3}, {"sku_id": sku, "on_hand": 1}]});
    let first = shop
        .merchant
        .post_once("/v1/inventory:batch", "b", &batch)
        .await
        .expect(200);
    let again = shop
        .merchant
        .post_once("/v1/inventory:batch", "b", &batch)
        .await
        .expect(200);
    assert_eq!(first.json["items"][0]["status"], "created");
    assert_eq!(again.text, first.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_at_once_with_one_key_makes_the_stock() {
    let shop = Shop::open().await;
    let sku = shop.listed();
    let body = json!({"sku_id": sku, "on_hand": 7});
    let answers = (0..12).map(|_| {
        let (merchant, body) = (shop.merchant.clone(), body.clone());
        async move { merchant.post_once("/v1/inventory", "k", body).await }
    });
    let answers = futures::future::join_all(answers).await;
    let replayed = answers
        .iter()
        .filter(|answer| answer.headers.contains_key("idempotent-replayed"));
    assert_eq!(replayed.count(), 11);
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.text), (201, &answers[0].text));
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchants_commands_have_one_answer_for_each_key() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let order = reserve_body(fresh(), &[(sku, 2)]);
    let reserve = "/v1/inventory/reserve";
    let made = shop.merchant.post_once(reserve, "r", &order).await.expect(201);
    let id = made.json["reservation_id"].as_str().unwrap();
    assert_eq!(
        made.headers["location"],
        format!("/v1/inventory/reservations/{id}").as_str()
    );
    let other = reserve_body(fresh(), &[(sku, 2)]);
    let refused = shop.merchant.post_once(reserve, "r", other).await;
    refused.expect_problem(422, "IDEMPOTENCY_KEY_REUSED");

    let body = json!({"reservation_id": id});
    let confirmed = shop
        .merchant
        .post_once("/v1/inventory/confirm", "c", &body)
        .await
        .expect(200);
    shop.merchant
        .post_once("/v1/inventory/deduct", "d", &body)
        .await
        .expect(200);
    for (path, key, first) in [(reserve, "r", &made), ("/v1/inventory/confirm", "c", &confirmed)] {
        let sent = if key == "r" { &order } else { &body };
        let again = shop.merchant.post_once(path, key, sent).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.headers.get("location"), first.headers.get("location"));
    }
    let refused = shop.merchant.post_once("/v1/inventory/release", "c", &body).await;
    refused.expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    // What was refused is decided anew, not for ever.
    let much = reserve_body(fresh(), &[(sku, 9)]);
    let refused = shop.merchant.post_once(reserve, "much", &much).await;
    refused.expect_problem(409, "INSUFFICIENT_STOCK");
    let path = format!("/v1/inventory/{sku}");
    shop.merchant.put(&path, json!({"on_hand": 9})).await.expect(200);
    shop.merchant.post_once(reserve, "much", &much).await.expect(201);
    shop.audit().await;
}
