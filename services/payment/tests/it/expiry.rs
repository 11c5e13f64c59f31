use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::PaymentVoided;
use serde_json::json;
use uuid::Uuid;

use crate::desk::{Desk, hasty, usd};

/// As if the authorization had ended a second ago.
async fn age(desk: &Desk, order: Uuid) {
    let aged = sqlx::query("UPDATE payments SET capture_before = now() - interval '1 s' WHERE order_id = $1")
        .bind(order)
        .execute(desk.pool())
        .await
        .unwrap();
    assert_eq!(aged.rows_affected(), 1);
}

#[tokio::test]
async fn what_was_not_captured_in_time_is_voided_and_told() {
    let desk = Desk::open().await;
    let (late, in_time) = (
        desk.authorized("pm_card_visa").await,
        desk.authorized("pm_card_visa").await,
    );
    age(&desk, late).await;
    assert_eq!(desk.payments.recover().await.unwrap(), 1);
    assert_eq!(desk.status(late).await, "VOIDED");
    assert_eq!(desk.status(in_time).await, "AUTHORIZED");
    assert_eq!(desk.psp.ledger().await.intent_of(late)["status"], "canceled");
    desk.act(late, "capture", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    let (_, voided) = desk
        .env
        .events(Topic::Payment)
        .find::<PaymentVoided>(|_| true)
        .await;
    assert_eq!(voided.reason, "AUTHORIZATION_EXPIRED");
    assert_eq!(voided.payment.unwrap().order_id, late.to_string());
    assert_eq!(desk.payments.recover().await.unwrap(), 0);
    desk.assert_books().await;
}

#[tokio::test]
async fn what_the_provider_let_go_by_itself_is_found_out() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let intent = desk.psp.ledger().await.intent_id(order);
    desk.psp
        .post(&format!("/v1/payment_intents/{intent}/cancel"), &[])
        .await;
    age(&desk, order).await;
    assert_eq!(desk.payments.recover().await.unwrap(), 1);
    assert_eq!(desk.status(order).await, "VOIDED");
    desk.assert_books().await;
}

/// The wish to void outlives a provider that is silent when the time has come.
#[tokio::test]
async fn a_silent_provider_delays_the_void_and_does_not_lose_it() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_card_visa").await;
    age(&desk, order).await;
    desk.psp.faults(json!({ "hang": true })).await;
    assert_eq!(desk.payments.recover().await.unwrap(), 1);
    assert_eq!(desk.status(order).await, "AUTHORIZED");
    desk.psp.faults(json!({ "hang": false })).await;
    ferrocart_test_kit::eventually("voided", || async {
        desk.payments.recover().await.unwrap();
        (desk.status(order).await == "VOIDED").then_some(())
    })
    .await;
    assert_eq!(desk.psp.ledger().await.intent_of(order)["status"], "canceled");
    desk.assert_books().await;
}

/// A capture that is under way when the time comes is not torn away.
#[tokio::test]
async fn captured_money_does_not_expire() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    desk.act(order, "capture", json!({})).await.expect(200);
    sqlx::query("UPDATE payments SET capture_before = now() - interval '1 s'")
        .execute(desk.pool())
        .await
        .unwrap();
    assert_eq!(desk.payments.recover().await.unwrap(), 0);
    assert_eq!(desk.get(order).await["captured"], usd(crate::desk::AMOUNT));
}
