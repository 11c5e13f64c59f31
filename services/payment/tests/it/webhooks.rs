use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::{PaymentAuthorized, PaymentDeclined, PaymentRequiresAction, PaymentVoided};
use ferrocart_test_kit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, SECRET, fresh, hasty, now, signature, usd};

async fn intent_of(desk: &Desk, order: Uuid) -> String {
    let ledger = desk.psp.ledger().await;
    ledger.intent_of(order)["id"].as_str().unwrap().to_owned()
}

async fn event_of(desk: &Desk, order: Uuid, kind: &str) -> String {
    let intent = intent_of(desk, order).await;
    let events = desk.psp.events_of(&intent).await;
    let event = events.iter().find(|event| event["type"] == kind);
    event
        .unwrap_or_else(|| panic!("no {kind}: {events:?}"))
        .to_string()
}

async fn becomes(desk: &Desk, order: Uuid, status: &str) {
    eventually(status, || async {
        (desk.status(order).await == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_what_the_provider_signed_just_now_is_taken() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let intent = intent_of(&desk, order).await;
    desk.psp
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await;
    let body = event_of(&desk, order, "payment_intent.canceled").await;
    let at = now();
    let good = signature(SECRET, at, &body);
    for (what, body, signature) in [
        (
            "another secret",
            body.clone(),
            signature("whsec_other", at, &body),
        ),
        ("stale", body.clone(), signature(SECRET, at - 301, &body)),
        ("ahead", body.clone(), signature(SECRET, at + 400, &body)),
        (
            "tampered with",
            body.replace("canceled", "succeeded"),
            good.clone(),
        ),
        ("no signature", body.clone(), String::new()),
        ("no event", "{}".to_owned(), signature(SECRET, at, "{}")),
    ] {
        assert_eq!(desk.deliver_signed(&body, &signature).await, 400, "{what}");
    }
    assert_eq!(desk.status(order).await, "AUTHORIZED");
    assert_eq!(desk.deliver_signed(&body, &good).await, 200);
    assert_eq!(desk.status(order).await, "VOIDED");
    // Again, and under a new signature: known by its id.
    assert_eq!(desk.deliver_signed(&body, &good).await, 200);
    assert_eq!(desk.deliver(&body, at - 100).await, 200);
    let taken: i64 = sqlx::query_scalar("SELECT count(*) FROM provider_events")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(taken, 1);
    let mut events = desk.env.events(Topic::Payment);
    events.find::<PaymentVoided>(|_| true).await;
    desk.assert_books().await;
}

#[tokio::test]
async fn an_event_of_an_unknown_payment_is_to_come_again() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let body = event_of(&desk, order, "payment_intent.amount_capturable_updated").await;
    let payment = desk.get(order).await["payment_id"].as_str().unwrap().to_owned();
    let unknown = body.replace(&payment, &fresh().to_string());
    assert_eq!(desk.deliver(&unknown, now()).await, 404);
    let foreign = body.replace("metadata", "other");
    let intent = intent_of(&desk, order).await;
    assert_eq!(
        desk.deliver(&foreign.replace(&intent, "pi_foreign"), now()).await,
        404
    );
    // What does not concern payments is taken and forgotten.
    let other =
        json!({ "id": "evt_x", "type": "customer.created", "data": { "object": { "object": "customer" } } });
    assert_eq!(desk.deliver(&other.to_string(), now()).await, 200);
}

#[tokio::test]
async fn an_event_for_one_payment_never_moves_another() {
    let desk = Desk::open().await;
    let (one, other) = (
        desk.authorized("pm_card_visa").await,
        desk.authorized("pm_card_visa").await,
    );
    let intent = intent_of(&desk, one).await;
    desk.psp
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await;
    let payment = |answer: Value| answer["payment_id"].as_str().unwrap().to_owned();
    let (ours, theirs) = (payment(desk.get(one).await), payment(desk.get(other).await));
    let body = event_of(&desk, one, "payment_intent.canceled")
        .await
        .replace(&ours, &theirs);
    desk.deliver(&body, now()).await;
    assert_eq!(desk.status(other).await, "AUTHORIZED");
}

#[tokio::test]
async fn an_event_that_comes_before_the_answer_brings_the_payment_forward() {
    let desk = Desk::open_with(hasty).await;
    let order = fresh();
    desk.psp.faults(json!({ "drop_next": 3 })).await;
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    let body = event_of(&desk, order, "payment_intent.amount_capturable_updated").await;
    assert_eq!(desk.deliver(&body, now()).await, 200);
    assert_eq!(desk.status(order).await, "AUTHORIZED");
    let answer = desk.authorize(order, "pm_card_visa").await.expect(201);
    assert_eq!(
        answer.headers["idempotent-replayed"], "true",
        "the operation ended with the event"
    );
    let mut events = desk.env.events(Topic::Payment);
    events.find::<PaymentAuthorized>(|_| true).await;
    desk.assert_books().await;
}

#[tokio::test]
async fn events_out_of_order_and_late_are_harmless() {
    let desk = Desk::open().await;
    let order = desk.captured().await;
    desk.act(order, "refund", json!({ "amount": usd(1_000) }))
        .await
        .expect(200);
    let before = desk.get(order).await;
    let intent = intent_of(&desk, order).await;
    let mut events = desk.psp.events_of(&intent).await;
    assert!(events.len() >= 5, "{events:?}");
    events.reverse();
    for event in &events {
        assert_eq!(
            desk.deliver(&event.to_string(), now()).await,
            200,
            "{}",
            event["type"]
        );
    }
    assert_eq!(desk.get(order).await, before);
    desk.assert_books().await;
}

#[tokio::test]
async fn money_that_goes_back_at_the_providers_desk_is_told_by_its_event() {
    let desk = Desk::open_with_webhooks().await;
    let order = desk.captured().await;
    let intent = intent_of(&desk, order).await;
    desk.psp
        .post("/v1/refunds", &[("payment_intent", &intent), ("amount", "2500")])
        .await;
    eventually("the refund is known", || async {
        (desk.get(order).await["refunded"] == usd(2_500)).then_some(())
    })
    .await;
    desk.assert_books().await;
}

#[tokio::test]
async fn duplicated_and_reordered_deliveries_end_where_they_must() {
    let desk = Desk::open_with_webhooks().await;
    for method in ["pm_sandbox_webhookDuplicated", "pm_sandbox_webhookReordered"] {
        let order = desk.authorized(method).await;
        desk.act(order, "capture", json!({})).await.expect(200);
        desk.act(order, "refund", json!({ "amount": usd(AMOUNT) }))
            .await
            .expect(200);
        desk.psp.webhooks_delivered().await;
        assert_eq!(desk.status(order).await, "REFUNDED");
        let sequence: i64 = sqlx::query_scalar("SELECT sequence FROM payments WHERE order_id = $1")
            .bind(order)
            .fetch_one(desk.pool())
            .await
            .unwrap();
        assert_eq!(
            sequence, 3,
            "authorized, captured, refunded: nothing was told twice"
        );
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn a_payment_that_needs_the_customer_ends_through_the_webhook() {
    let desk = Desk::open_with_webhooks().await;
    for (result, status) in [("approve", "AUTHORIZED"), ("refuse", "DECLINED")] {
        let order = fresh();
        let answer = desk
            .authorize(order, "pm_card_threeDSecure2Required")
            .await
            .expect(201);
        assert_eq!(answer.json["status"], "REQUIRES_ACTION");
        let url = answer.json["next_action"]["redirect_url"].as_str().unwrap();
        assert!(url.starts_with("http"), "{url}");
        let intent = intent_of(&desk, order).await;
        desk.psp.authenticate(&intent, result).await;
        becomes(&desk, order, status).await;
    }
    let mut events = desk.env.events(Topic::Payment);
    events
        .find::<PaymentRequiresAction>(|event| event.redirect_url.starts_with("http"))
        .await;
    events.find::<PaymentAuthorized>(|_| true).await;
    events
        .find::<PaymentDeclined>(|event| event.payment.as_ref().unwrap().sequence == 2)
        .await;
    desk.assert_books().await;
}

#[tokio::test]
async fn an_event_waits_for_a_provider_that_does_not_answer() {
    let desk = Desk::open_with(hasty).await;
    let order = fresh();
    desk.psp.faults(json!({ "drop_next": 3 })).await;
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    let body = event_of(&desk, order, "payment_intent.amount_capturable_updated").await;
    // Until when the money is held is not in the event.
    desk.psp.faults(json!({ "hang": true })).await;
    assert_eq!(desk.deliver(&body, now()).await, 504);
    assert_eq!(desk.status(order).await, "PENDING");
    desk.psp.faults(json!({ "hang": false })).await;
    assert_eq!(desk.deliver(&body, now()).await, 200);
    let payment = desk.get(order).await;
    assert_eq!(payment["status"], "AUTHORIZED");
    assert!(payment["capture_before"].is_string(), "{payment}");
}

#[tokio::test]
async fn an_event_that_says_enough_needs_no_provider() {
    let desk = Desk::open_with(hasty).await;
    let (cancelled, order) = (desk.authorized("pm_card_visa").await, desk.captured().await);
    let intent = intent_of(&desk, cancelled).await;
    desk.psp
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await;
    let intent = intent_of(&desk, order).await;
    desk.psp
        .post("/v1/refunds", &[("payment_intent", &intent), ("amount", "2500")])
        .await;
    let events = [
        event_of(&desk, cancelled, "payment_intent.canceled").await,
        event_of(&desk, order, "charge.refunded").await,
    ];
    desk.psp.faults(json!({ "hang": true })).await;
    for event in events {
        assert_eq!(desk.deliver(&event, now()).await, 200);
    }
    assert_eq!(desk.status(cancelled).await, "VOIDED");
    assert_eq!(desk.get(order).await["refunded"], usd(2_500));
    desk.psp.faults(json!({ "hang": false })).await;
    desk.assert_books().await;
}

#[tokio::test]
async fn a_refund_that_fails_later_changes_nothing_by_itself() {
    let desk = Desk::open().await;
    let order = desk.captured().await;
    desk.act(order, "refund", json!({ "amount": usd(2_500) }))
        .await
        .expect(200);
    let intent = intent_of(&desk, order).await;
    let failed = json!({ "id": "evt_failed", "type": "refund.failed", "data": { "object": {
        "object": "refund", "id": "re_1", "status": "failed", "payment_intent": intent, "amount": 2_500 } } });
    assert_eq!(desk.deliver(&failed.to_string(), now()).await, 200);
    assert_eq!(desk.get(order).await["refunded"], usd(2_500));
}
