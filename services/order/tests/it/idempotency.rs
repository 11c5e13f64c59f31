use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::shop::{Shop, body, id_of};
use crate::world::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_answer_and_another_request_is_refused() {
    let shop = Shop::open().await;
    let (buyer, sku) = shop.customer_with_cart();
    let first = buyer
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(201);
    // The cart is gone by now; the answer is not.
    shop.world.lock().carts.remove(&buyer.cart);
    let again = buyer
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(201);
    assert_eq!(again.text, first.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    let mut other = body("pm_card_visa");
    other["shipping_address"]["city"] = json!("Paris");
    buyer
        .checkout_with("key", &other)
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.world.available(sku), 9);

    // Another caller's key is another key.
    let (stranger, _) = shop.customer_with_cart();
    let other = stranger
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(201);
    assert_ne!(id_of(&other), id_of(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_replayed_as_well() {
    let shop = Shop::open().await;
    let (buyer, _) = shop.customer_with_cart();
    let first = buyer
        .checkout_with("key", &body("pm_declined"))
        .await
        .expect_problem(402, "PAYMENT_DECLINED");
    let again = buyer
        .checkout_with("key", &body("pm_declined"))
        .await
        .expect_problem(402, "PAYMENT_DECLINED");
    assert_eq!(again.text, first.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(shop.world.count("authorize"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_make_one_order_and_agree() {
    let shop = Shop::open().await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world
        .fail("authorize", Fault::Slow(Duration::from_millis(200)));
    let request = body("pm_card_visa");
    let answers = join_all((0..100).map(|_| buyer.checkout_with("key", &request))).await;
    let first = answers[0].text.clone();
    let replayed = answers
        .iter()
        .filter(|answer| answer.headers.contains_key("idempotent-replayed"))
        .count();
    for answer in answers {
        assert_eq!(answer.expect(201).text, first);
    }
    assert_eq!(replayed, 99);
    assert_eq!(shop.world.available(sku), 9);
    assert_eq!(shop.world.count("authorize"), 1);
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_checkout_is_accepted_and_a_retry_reads_the_same_order() {
    let shop = Shop::open_with(|settings| settings.checkout_deadline_ms = 300).await;
    let (buyer, _) = shop.customer_with_cart();
    shop.world.fail_always("authorize", Fault::Timeout);
    let accepted = buyer
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(202);
    let id = id_of(&accepted);
    assert_eq!(accepted.headers["location"], format!("/v1/orders/{id}").as_str());
    let again = buyer
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(202);
    assert_eq!(id_of(&again), id);
    shop.world.heal();
    buyer.until(&id, "CONFIRMED").await;
    let done = buyer
        .checkout_with("key", &body("pm_card_visa"))
        .await
        .expect(201);
    assert_eq!(id_of(&done), id);
    assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
}
