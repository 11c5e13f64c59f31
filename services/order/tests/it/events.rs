use ferrocart_contracts::v1::{
    OrderConfirmed, OrderDelivered, OrderPlaced, Payment, PaymentStatus, PaymentVoided, ReservationExpired,
    ReservationLine,
};
use ferrocart_contracts::{Event, Topic};
use ferrocart_http_kit::Role;
use ferrocart_test_kit::eventually;
use serde_json::json;

use crate::shop::{Shop, body, id_of};
use crate::world::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn every_status_is_published_once_and_in_order() {
    let shop = Shop::open_with_kafka(|_| {}).await;
    let (buyer, _, id) = shop.confirmed().await;
    let warehouse = shop.staff(Role::Warehouse);
    let shipment = json!({ "carrier": "Post", "tracking_number": "T1" });
    warehouse
        .put(&format!("/v1/orders/{id}/ship"), shipment)
        .await
        .expect(200);
    warehouse
        .put(&format!("/v1/orders/{id}/deliver"), ())
        .await
        .expect(200);
    let mut log = shop.env.events(Topic::Order);
    let events = log
        .until("the delivery", |events| {
            events
                .iter()
                .any(|event| event.event_type == OrderDelivered::TYPE)
        })
        .await;
    let seen: Vec<(i64, &str)> = events
        .iter()
        .map(|event| (event.sequence, event.event_type.rsplit('.').next().unwrap()))
        .collect();
    let expected = [
        "OrderPlaced",
        "OrderPaymentPending",
        "OrderConfirmed",
        "OrderShipped",
        "OrderDelivered",
    ];
    assert_eq!(seen, (1..).zip(expected).collect::<Vec<_>>());
    assert!(
        events
            .iter()
            .all(|event| event.subject == id && event.traceparent.is_some())
    );
    let placed = events[0].decode::<OrderPlaced>().unwrap().order.unwrap();
    assert_eq!(placed.cart_id, buyer.cart);
    assert_eq!(placed.lines[0].unit_price.as_ref().unwrap().amount_minor, 1_999);
    let confirmed = events[2].decode::<OrderConfirmed>().unwrap();
    assert_eq!(
        confirmed.reservation_id, id,
        "the fake names reservations after orders"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_expires_while_the_payment_waits_cancels_the_order() {
    let shop = Shop::open_with_kafka(|settings| settings.checkout_deadline_ms = 300).await;
    let (buyer, _) = shop.customer_with_cart();
    let id = id_of(&buyer.checkout_with("key", &body("pm_3ds")).await.expect(202));
    shop.world.lock().release(&id);
    let line = ReservationLine {
        reservation_id: id.clone(),
        order_id: id.clone(),
        sku_id: "s".into(),
        quantity: 1,
        version: 1,
    };
    let event = ReservationExpired { line: Some(line) };
    // Twice, as for a reservation of two SKUs.
    shop.env.publish("inventory", &event).await;
    shop.env.publish("inventory", &event).await;
    let order = buyer.until(&id, "CANCELLED").await;
    assert_eq!(order["cancel_reason"], "RESERVATION_EXPIRED");
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    buyer
        .checkout_with("key", &body("pm_3ds"))
        .await
        .expect_problem(409, "RESERVATION_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_events_keep_the_status_and_old_ones_do_not_turn_it_back() {
    let shop = Shop::open_with_kafka(|_| {}).await;
    let (buyer, _, id) = shop.confirmed().await;
    let payment_id = buyer.order(&id).await["payment"]["payment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let payment = |status: PaymentStatus| Payment {
        payment_id: payment_id.clone(),
        order_id: id.clone(),
        status: status.into(),
        sequence: 1,
        ..Default::default()
    };
    // The provider let the authorization lapse.
    let voided = PaymentVoided {
        payment: Some(payment(PaymentStatus::Voided)),
        reason: "EXPIRED".into(),
    };
    shop.env.publish("payment", &voided).await;
    let order = eventually("the payment is voided", || async {
        let order = buyer.order(&id).await;
        (order["payment"]["status"] == "VOIDED").then_some(order)
    })
    .await;
    assert_eq!(order["status"], "CONFIRMED");
    let old = ferrocart_contracts::v1::PaymentAuthorized {
        payment: Some(payment(PaymentStatus::Authorized)),
        ..Default::default()
    };
    let event = shop.env.publish("payment", &old).await;
    eventually("the old event is applied", || async {
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox WHERE event_id = $1")
            .bind(event.as_uuid())
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        (seen == 1).then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["payment"]["status"], "VOIDED");
    assert_eq!(shop.world.count("void"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_of_a_confirmed_order_changes_nothing() {
    let shop = Shop::open_with_kafka(|_| {}).await;
    shop.world.fail("cart", Fault::Twice);
    let (buyer, _, id) = shop.confirmed().await;
    let line = ReservationLine {
        order_id: id.clone(),
        reservation_id: id.clone(),
        ..Default::default()
    };
    let event = shop
        .env
        .publish("inventory", &ReservationExpired { line: Some(line) })
        .await;
    eventually("the event is applied", || async {
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox WHERE event_id = $1")
            .bind(event.as_uuid())
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        (seen == 1).then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["status"], "CONFIRMED");
}
