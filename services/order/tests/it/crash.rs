//! A driver that dies at any point of a saga, and who goes on.

use std::time::Duration;

use ferrocart_contracts::Topic;
use ferrocart_failpoint::{Point, Site};

use crate::shop::{Shop, body, id_of, statuses};
use crate::world::{Fault, fresh};

/// Before each step's call, after it, and when its outcome is written down.
fn points(steps: &[(Site, Site)]) -> Vec<Point> {
    let points = steps
        .iter()
        .flat_map(|(call, record)| [call.before(), call.after(), record.after()]);
    points.collect()
}

const RESERVE: (Site, Site) = (Site::OrderReserve, Site::OrderReserveRecord);
const AUTHORIZE: (Site, Site) = (Site::OrderAuthorize, Site::OrderAuthorizeRecord);
const CONFIRM: (Site, Site) = (Site::OrderConfirm, Site::OrderConfirmRecord);
const DEDUCT: (Site, Site) = (Site::OrderDeduct, Site::OrderDeductRecord);
const CAPTURE: (Site, Site) = (Site::OrderCapture, Site::OrderCaptureRecord);
const REFUND: (Site, Site) = (Site::OrderRefund, Site::OrderRefundRecord);
const VOID: (Site, Site) = (Site::OrderVoid, Site::OrderVoidRecord);
const RELEASE: (Site, Site) = (Site::OrderRelease, Site::OrderReleaseRecord);

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_dies_anywhere_is_confirmed_by_the_worker() {
    let shop = Shop::open().await;
    for point in points(&[RESERVE, AUTHORIZE, CONFIRM]) {
        let (buyer, sku) = shop.customer_with_cart();
        let key = fresh().to_string();
        shop.stop_at(point);
        let answer = buyer.checkout_with(&key, &body("pm_card_visa")).await;
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        assert_eq!(answer.status, 201, "{point}: {}", answer.text);
        let id = id_of(&answer);
        assert_eq!(
            statuses(&answer.json),
            ["PLACED", "PAYMENT_PENDING", "CONFIRMED"],
            "{point}"
        );
        assert_eq!(shop.world.money_moves(&id, "authorize"), 1, "{point}");
        assert_eq!(shop.world.available(sku), 9, "{point}");
        let again = buyer.checkout_with(&key, &body("pm_card_visa")).await.expect(201);
        assert_eq!(again.text, answer.text, "{point}");
    }
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_that_dies_anywhere_is_finished_by_the_worker() {
    let shop = Shop::open().await;
    for point in points(&[RELEASE]) {
        let (buyer, sku) = shop.customer_with_cart();
        shop.stop_at(point);
        let answer = buyer
            .checkout("pm_declined")
            .await
            .expect_problem(402, "PAYMENT_DECLINED");
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        assert_eq!(buyer.order(&id_of(&answer)).await["status"], "CANCELLED");
        assert_eq!(shop.world.available(sku), 10, "{point}");
    }
    for point in points(&[VOID, RELEASE]) {
        let (buyer, sku) = shop.customer_with_cart();
        shop.world.fail_always("confirm", Fault::Error);
        shop.stop_at(point);
        let answer = buyer
            .checkout("pm_card_visa")
            .await
            .expect_problem(409, "CHECKOUT_FAILED");
        shop.world.heal();
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        let id = id_of(&answer);
        assert_eq!(shop.world.money_moves(&id, "void"), 1, "{point}");
        assert_eq!(shop.world.available(sku), 10, "{point}");
    }
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_cancelling_and_refunding_survive_death_at_every_step() {
    let shop = Shop::open().await;
    let warehouse = shop.staff(ferrocart_http_kit::Role::Warehouse);
    let support = shop.staff(ferrocart_http_kit::Role::Support);
    for point in points(&[DEDUCT, CAPTURE]) {
        let (_, _, id) = shop.confirmed().await;
        shop.stop_at(point);
        let shipped = warehouse
            .put(&format!("/v1/orders/{id}/ship"), serde_json::json!({}))
            .await
            .expect(200);
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        assert_eq!(shipped.json["status"], "SHIPPED");
        assert_eq!(shop.world.money_moves(&id, "capture"), 1, "{point}");
    }
    for point in points(&[VOID, RELEASE]) {
        let (buyer, sku, id) = shop.confirmed().await;
        shop.stop_at(point);
        buyer
            .api
            .put(&format!("/v1/orders/{id}/cancel"), ())
            .await
            .expect(200);
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        assert_eq!(shop.world.money_moves(&id, "void"), 1, "{point}");
        assert_eq!(shop.world.available(sku), 10, "{point}");
    }
    for point in points(&[REFUND]) {
        let (_, _, id) = shop.confirmed().await;
        warehouse
            .put(&format!("/v1/orders/{id}/ship"), serde_json::json!({}))
            .await
            .expect(200);
        warehouse
            .put(&format!("/v1/orders/{id}/deliver"), ())
            .await
            .expect(200);
        shop.stop_at(point);
        support
            .put(&format!("/v1/orders/{id}/refund"), serde_json::json!({}))
            .await
            .expect(200);
        assert!(shop.has_stopped_at(point), "{point} was not reached");
        assert_eq!(shop.world.money_moves(&id, "refund"), 1, "{point}");
    }
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_in_the_same_trace() {
    // This process never recovers anything: it looks once an hour.
    let shop = Shop::open_with_kafka(|settings| settings.saga.saga_poll_ms = 3_600_000).await;
    let (buyer, _) = shop.customer_with_cart();
    shop.stop_at(Site::OrderConfirm.before());
    shop.replica(|settings| settings.saga.saga_poll_ms = 50).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let headers = [("idempotency-key", "k"), ("traceparent", traceparent.as_str())];
    let answer = buyer
        .api
        .send(
            reqwest::Method::POST,
            "/v1/checkout",
            Some(&body("pm_card_visa")),
            &headers,
        )
        .await
        .expect(201);
    let id = id_of(&answer);
    let calls = shop.world.lock().traceparents.clone();
    assert!(calls.iter().any(|(call, _)| *call == "confirm"));
    for (call, traceparent) in calls {
        assert!(
            traceparent.contains(trace),
            "{call} was made in another trace: {traceparent}"
        );
    }
    let mut log = shop.env.events(Topic::Order);
    let (event, confirmed) = log
        .find::<ferrocart_contracts::v1::OrderConfirmed>(|event| event.order.as_ref().unwrap().order_id == id)
        .await;
    assert!(event.traceparent.unwrap().contains(trace));
    assert_eq!(event.sequence, 3);
    assert!(!confirmed.payment_id.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_lost_its_lease_writes_nothing() {
    // A lease that ends while the call is under way: another driver begins the same step.
    let shop = Shop::open_with(|settings| {
        settings.saga.saga_lease_ms = 100;
        settings.neighbours.payment_timeout_ms = 3_000;
    })
    .await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world
        .fail("authorize", Fault::Slow(Duration::from_millis(700)));
    let answer = buyer.checkout("pm_card_visa").await.expect(201);
    let id = id_of(&answer);
    assert!(shop.world.count("authorize") >= 2, "nobody took the saga over");
    assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
    assert_eq!(shop.world.available(sku), 9);
    let order = buyer.order(&id).await;
    assert_eq!(statuses(&order), ["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
    let log = shop.log(&id).await;
    assert_eq!(
        log.iter().filter(|line| *line == "CONFIRM SUCCEEDED").count(),
        1,
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_lost_its_lease_and_despairs_undoes_nothing() {
    // The first driver hears nothing for longer than its lease and would give up after one try; the
    // second one has confirmed the order by then.
    let shop = Shop::open_with(|settings| {
        settings.saga.saga_lease_ms = 100;
        settings.saga.saga_tries_max = 1;
        settings.neighbours.payment_timeout_ms = 1_000;
    })
    .await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world.fail("authorize", Fault::Timeout);
    let answer = buyer.checkout("pm_card_visa").await.expect(201);
    let id = id_of(&answer);
    assert_eq!(shop.world.count("authorize"), 2);
    shop.stop().await;
    let state: String = sqlx::query_scalar("SELECT state FROM sagas")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(state, "DONE");
    assert_eq!(shop.world.payment(&id), Some("AUTHORIZED"));
    assert_eq!(shop.world.available(sku), 9);
}
