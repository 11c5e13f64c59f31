//! `Idempotency-Key`, as Stripe keeps it.

use crate::client::{authorization, id, start};
use std::collections::HashSet;
use std::time::Duration;

#[tokio::test]
async fn fifty_requests_with_one_key_make_one_payment() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let requests = (0..50).map(|_| {
        let client = client.clone();
        async move {
            // Told that the first is still going on, a client asks again.
            loop {
                let form = authorization("pm_card_visa", "order-50");
                let answer = client
                    .send("/v1/payment_intents", "one-key", &form)
                    .await
                    .unwrap();
                if answer.status == 409 {
                    answer.error(409, "idempotency_key_in_use");
                    continue;
                }
                let replayed = answer.headers.contains_key("idempotent-replayed");
                return (id(&answer.ok()), replayed);
            }
        }
    });
    let answers = futures::future::join_all(requests).await;
    assert_eq!(answers.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    let lines = client.ledger().await;
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["object"] == "payment_intent")
            .count(),
        1
    );
    assert_eq!(lines.iter().filter(|line| line["object"] == "charge").count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_endpoint_and_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let form = authorization("pm_card_visa", "order-1");
    let first = client.send("/v1/payment_intents", "k", &form).await.unwrap();
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let first_id = first.headers["request-id"].clone();
    let first = first.ok();
    let again = client.send("/v1/payment_intents", "k", &form).await.unwrap();
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["original-request"], first_id);
    assert_eq!(again.ok(), first);
    let other = client
        .send("/v1/payment_intents", "k", &authorization("pm_card_visa", "o2"))
        .await
        .unwrap();
    assert_eq!(
        (other.status, &other.body["error"]["type"]),
        (400, &"idempotency_error".into())
    );
    let path = format!("/v1/payment_intents/{}/capture", id(&first));
    let elsewhere = client.send(&path, "k", &[]).await.unwrap();
    assert_eq!(
        (elsewhere.status, &elsewhere.body["error"]["type"]),
        (400, &"idempotency_error".into())
    );
    running.stop().await;
}

/// Declines are answers and are kept; requests that were never valid are not.
#[tokio::test]
async fn declines_are_replayed_and_invalid_requests_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let form = authorization("pm_card_chargeDeclined", "order-1");
    let first = client
        .send("/v1/payment_intents", "declined", &form)
        .await
        .unwrap();
    let again = client
        .send("/v1/payment_intents", "declined", &form)
        .await
        .unwrap();
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!((first.status, again.status), (402, 402));
    assert_eq!(first.body, again.body);

    let invalid = [("amount", "1000")];
    let refused = client
        .send("/v1/payment_intents", "invalid", &invalid)
        .await
        .unwrap();
    refused.error(400, "parameter_missing");
    let form = authorization("pm_card_visa", "order-2");
    client
        .send("/v1/payment_intents", "invalid", &form)
        .await
        .unwrap()
        .ok();
    running.stop().await;
}

#[tokio::test]
async fn a_repeat_is_told_that_the_first_is_still_going_on() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let slow = client.clone();
    let first = crate::client::spawn(async move {
        let form = authorization("pm_sandbox_slow3s", "order-1");
        slow.send("/v1/payment_intents", "slow", &form).await.unwrap()
    });
    crate::client::until("the payment", || async {
        (client.ledger().await.len() > 1).then_some(())
    })
    .await;
    let form = authorization("pm_sandbox_slow3s", "order-1");
    let meanwhile = client.send("/v1/payment_intents", "slow", &form).await.unwrap();
    meanwhile.error(409, "idempotency_key_in_use");
    let first = first.await.unwrap().ok();
    assert_eq!(first["status"], "requires_capture");
    let again = client.send("/v1/payment_intents", "slow", &form).await.unwrap();
    assert_eq!(again.ok(), first);
    running.stop().await;
}

/// An answer that is lost after the work, as 1 in n of a provider's would be.
#[tokio::test]
async fn a_lost_answer_is_found_again_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    client.faults(r#"{"drop_next": 1}"#).await;
    let form = authorization("pm_card_visa", "order-1");
    assert!(client.send("/v1/payment_intents", "lost", &form).await.is_err());
    let again = client.send("/v1/payment_intents", "lost", &form).await.unwrap();
    assert_eq!(again.headers["idempotent-replayed"], "true");
    again.ok();
    assert_eq!(
        client.ledger().await.len(),
        3,
        "the numbers, one intent, one charge"
    );

    client
        .faults(r#"{"fail_next": {"count": 1, "status": 503}}"#)
        .await;
    let failed = client.send("/v1/payment_intents", "failed", &form).await.unwrap();
    assert_eq!(failed.status, 503);
    let done = client.send("/v1/payment_intents", "failed", &form).await.unwrap();
    assert!(
        !done.headers.contains_key("idempotent-replayed"),
        "nothing was done before"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_sandbox_that_hangs_does_nothing_until_it_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    client.faults(r#"{"hang": true}"#).await;
    let form = authorization("pm_card_visa", "order-1");
    let held = tokio::time::timeout(
        Duration::from_millis(300),
        client.send("/v1/payment_intents", "held", &form),
    );
    assert!(held.await.is_err());
    assert_eq!(client.ledger().await.len(), 1);
    client.faults(r#"{"hang": false}"#).await;
    client
        .send("/v1/payment_intents", "held", &form)
        .await
        .unwrap()
        .ok();
    running.stop().await;
}
