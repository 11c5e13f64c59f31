//! Sagas in the hands of people.

use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api, eventually};
use serde_json::{Value, json};

use crate::shop::{Shop, body, id_of};
use crate::world::{Fault, fresh};

async fn saga_of(support: &Api, state: &str, order: &str) -> Value {
    eventually(&format!("the saga of {order} is {state}"), || async {
        let page = support
            .get(&format!("/v1/admin/sagas?state={state}&limit=100"))
            .await
            .expect(200)
            .json;
        let items = page["items"].as_array().unwrap().clone();
        items.into_iter().find(|saga| saga["order_id"] == order)
    })
    .await
}

async fn steer(api: &Api, saga: &Value, verb: &str, key: &str) -> Answer {
    let path = format!("/v1/admin/sagas/{}/{verb}", saga["saga_id"].as_str().unwrap());
    api.post_once(&path, key, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_waits_long_is_retried_at_once() {
    let shop = Shop::open_with(|settings| {
        settings.checkout_deadline_ms = 300;
        // Nobody would try again within this test.
        settings.saga.saga_backoff_min_ms = 3_600_000;
        settings.saga.saga_backoff_max_ms = 3_600_000;
    })
    .await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world.fail("release", Fault::Error);
    let id = id_of(&buyer.checkout("pm_declined").await.expect(202));
    let (admin, support) = (shop.staff(Role::Admin), shop.staff(Role::Support));
    let saga = saga_of(&support, "compensating", &id).await;
    assert_eq!(saga["step"], "RELEASE");
    steer(&support, &saga, "retry", "k")
        .await
        .expect_problem(403, "FORBIDDEN");
    let retried = steer(&admin, &saga, "retry", "k").await.expect(202);
    assert_eq!(retried.json["saga_id"], saga["saga_id"]);
    buyer.until(&id, "CANCELLED").await;
    assert_eq!(shop.world.available(sku), 10);
    let again = steer(&admin, &saga, "retry", "k").await.expect(202);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.text, retried.text);
    steer(&admin, &saga, "cancel", "k")
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    steer(&admin, &saga, "retry", "other")
        .await
        .expect_problem(409, "SAGA_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_does_not_get_on_is_called_off() {
    let shop = Shop::open_with(|settings| {
        settings.checkout_deadline_ms = 300;
        settings.saga.saga_tries_max = 1_000;
        settings.saga.saga_stuck_tries = 2;
    })
    .await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world.fail_always("authorize", Fault::LostWith504);
    let id = id_of(
        &buyer
            .checkout_with("key", &body("pm_card_visa"))
            .await
            .expect(202),
    );
    let admin = shop.staff(Role::Admin);
    let saga = saga_of(&admin, "stuck", &id).await;
    steer(&admin, &saga, "cancel", "k").await.expect(202);
    let order = buyer.until(&id, "CANCELLED").await;
    assert_eq!(order["cancel_reason"], "SUPPORT_REQUEST");
    assert_eq!(shop.world.available(sku), 10);
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_not_called_off_and_nonsense_is_named() {
    let shop = Shop::open_with(|settings| settings.checkout_deadline_ms = 3_000).await;
    let (_, _, id) = shop.confirmed().await;
    let (admin, warehouse) = (shop.staff(Role::Admin), shop.staff(Role::Warehouse));
    for verb in ["ship", "deliver"] {
        warehouse
            .put(&format!("/v1/orders/{id}/{verb}"), json!({}))
            .await
            .expect(200);
    }
    shop.world.fail_always("refund", Fault::Error);
    shop.staff(Role::Support)
        .put(&format!("/v1/orders/{id}/refund"), json!({}))
        .await
        .expect(202);
    let saga = saga_of(&admin, "unfinished", &id).await;
    steer(&admin, &saga, "cancel", "k")
        .await
        .expect_problem(409, "SAGA_NOT_CANCELLABLE");
    shop.world.heal();
    steer(&admin, &json!({ "saga_id": fresh() }), "retry", "k")
        .await
        .expect_problem(404, "SAGA_NOT_FOUND");
    let bad = steer(&admin, &json!({ "saga_id": "7" }), "retry", "k").await;
    let bad = bad.expect_problem(400, "INVALID_SAGA_ID");
    assert_eq!(bad.json["errors"][0]["field"], "saga_id");
    let path = format!("/v1/admin/sagas/{}/retry", fresh());
    admin
        .post(&path, json!({}))
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    admin
        .get("/v1/admin/sagas?state=lost")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_listed_page_by_page() {
    let shop = Shop::open_with(|settings| settings.checkout_deadline_ms = 300).await;
    shop.world.fail_always("release", Fault::Error);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (buyer, _) = shop.customer_with_cart();
        ids.push(id_of(&buyer.checkout("pm_declined").await.expect(202)));
    }
    let support = shop.staff(Role::Support);
    let (mut seen, mut next) = (Vec::new(), "/v1/admin/sagas?state=unfinished&limit=2".to_owned());
    loop {
        let page = support.get(&next).await.expect(200).json;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(
            items
                .iter()
                .map(|saga| saga["order_id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("/v1/admin/sagas?state=unfinished&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    shop.world.heal();
}
