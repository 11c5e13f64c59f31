//! Every step failing in every way.

use crate::shop::{Shop, id_of, statuses};
use crate::world::Fault;

const PASSING: [Fault; 5] = [
    Fault::Error,
    Fault::Timeout,
    Fault::Lost,
    Fault::LostWith504,
    Fault::Twice,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_once_is_done_once() {
    let shop = Shop::open().await;
    for step in ["reserve", "mark", "authorize", "confirm"] {
        for fault in PASSING {
            let (buyer, sku) = shop.customer_with_cart();
            shop.world.fail(step, fault);
            let answer = buyer.checkout("pm_card_visa").await;
            assert_eq!(answer.status, 201, "{step} {fault:?}: {}", answer.text);
            let id = id_of(&answer);
            assert_eq!(statuses(&answer.json), ["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
            assert_eq!(shop.world.available(sku), 9, "{step} {fault:?}");
            assert_eq!(shop.world.money_moves(&id, "authorize"), 1, "{step} {fault:?}");
            assert_eq!(shop.world.money_moves(&id, "void"), 0, "{step} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_fails_once_is_done_once() {
    let shop = Shop::open().await;
    for fault in PASSING {
        let (buyer, sku) = shop.customer_with_cart();
        shop.world.fail("release", fault);
        buyer
            .checkout("pm_declined")
            .await
            .expect_problem(402, "PAYMENT_DECLINED");
        assert_eq!(shop.world.available(sku), 10, "release {fault:?}");
    }
    // A void is needed where the payment gives no answer for good.
    for fault in PASSING {
        let (buyer, sku) = shop.customer_with_cart();
        shop.world.fail_always("confirm", Fault::Error);
        shop.world.fail("void", fault);
        let refused = buyer
            .checkout("pm_card_visa")
            .await
            .expect_problem(409, "CHECKOUT_FAILED");
        let id = id_of(&refused);
        assert_eq!(shop.world.payment(&id), Some("VOIDED"), "void {fault:?}");
        assert_eq!(shop.world.money_moves(&id, "void"), 1, "void {fault:?}");
        assert_eq!(shop.world.available(sku), 10, "void {fault:?}");
        shop.world.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_never_answers_is_undone_whether_or_not_it_was_done() {
    let shop = Shop::open().await;
    for step in ["reserve", "authorize", "confirm"] {
        for fault in [Fault::Error, Fault::LostWith504] {
            let (buyer, sku) = shop.customer_with_cart();
            // What undoes a reservation asks for it first, and is answered.
            for _ in 0..4 {
                shop.world.fail(step, fault);
            }
            let refused = buyer
                .checkout("pm_card_visa")
                .await
                .expect_problem(409, "CHECKOUT_FAILED");
            let id = id_of(&refused);
            let order = buyer.order(&id).await;
            assert_eq!(order["status"], "CANCELLED", "{step} {fault:?}");
            assert_eq!(order["cancel_reason"], "DEPENDENCY_UNAVAILABLE");
            assert_eq!(shop.world.available(sku), 10, "{step} {fault:?}");
            assert_ne!(shop.world.payment(&id), Some("AUTHORIZED"), "{step} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_gone_at_confirm_voids_the_payment() {
    let shop = Shop::open().await;
    let (buyer, _) = shop.customer_with_cart();
    shop.world
        .fail("authorize", Fault::Slow(std::time::Duration::from_millis(200)));
    let world = shop.world.clone();
    let expiry = ferrocart_telemetry::spawn("expiry", async move {
        ferrocart_test_kit::eventually("the payment is under way", || async {
            (world.count("authorize") > 0).then_some(())
        })
        .await;
        let order = world.lock().reservations.keys().next().unwrap().clone();
        world.lock().release(&order);
    });
    let refused = buyer
        .checkout("pm_card_visa")
        .await
        .expect_problem(409, "RESERVATION_EXPIRED");
    expiry.await.unwrap();
    let id = id_of(&refused);
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    assert_eq!(buyer.order(&id).await["payment"]["status"], "VOIDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_outlasts_an_outage_and_is_seen_to_be_stuck() {
    let shop = Shop::open_with(|settings| settings.checkout_deadline_ms = 500).await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world.fail_always("release", Fault::Error);
    let accepted = buyer.checkout("pm_declined").await.expect(202);
    let id = id_of(&accepted);
    let support = shop.staff(ferrocart_http_kit::Role::Support);
    let stuck = ferrocart_test_kit::eventually("the saga is stuck", || async {
        let page = support.get("/v1/admin/sagas?state=stuck").await.expect(200).json;
        page["items"].get(0).cloned()
    })
    .await;
    assert_eq!(stuck["order_id"], id);
    assert_eq!(stuck["step"], "RELEASE");
    buyer
        .api
        .get("/v1/admin/sagas")
        .await
        .expect_problem(403, "FORBIDDEN");
    let lines = shop.log(&id).await.len();
    shop.world.heal();
    buyer.until(&id, "CANCELLED").await;
    assert_eq!(shop.world.available(sku), 10);
    assert!(
        shop.log(&id).await.len() <= lines + 3,
        "a stuck saga fills its log"
    );
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_can_be_read_and_listed_with_every_neighbour_down() {
    let shop = Shop::open().await;
    let (buyer, _, id) = shop.confirmed().await;
    let nowhere = "http://127.0.0.1:9".to_owned();
    let deaf = shop
        .replica(|settings| {
            settings.neighbours.catalog_url.clone_from(&nowhere);
            settings.neighbours.cart_url.clone_from(&nowhere);
            settings.neighbours.inventory_url.clone_from(&nowhere);
            settings.neighbours.payment_url.clone_from(&nowhere);
            settings.kafka.kafka_brokers = "127.0.0.1:9".to_owned();
        })
        .await;
    let (_, token) = shop
        .env
        .keys
        .new_user("order", &[ferrocart_http_kit::Role::Support]);
    let support = deaf.with_token(token);
    let order = support.get(&format!("/v1/orders/{id}")).await.expect(200);
    assert_eq!(order.json, buyer.order(&id).await);
    support
        .get(&format!("/v1/orders?customer_id={}", buyer.id))
        .await
        .expect(200);
    deaf.get("/health/ready").await.expect(200);
    let (_, token) = shop
        .env
        .keys
        .new_user("order", &[ferrocart_http_kit::Role::Customer]);
    let refused = deaf
        .with_token(token)
        .post_once("/v1/checkout", "k", crate::shop::body("pm_card_visa"))
        .await;
    refused.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
}
