//! Events as they reach an endpoint.

use crate::client::{Delivery, Endpoint, KEY, SECRET, id, start_with, until};
use ferrocart_psp_sandbox::Options;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::Ordering;

fn options(dir: &Path, endpoint: &Endpoint) -> Options {
    Options {
        webhook: Some(endpoint.options.clone()),
        ..Options::new(dir, KEY)
    }
}

fn kinds(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::kind).collect()
}

#[tokio::test]
async fn events_are_signed_and_in_order() {
    let (dir, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    let intent = client.authorize("pm_card_visa").await;
    let pi = id(&intent);
    client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await
        .ok();
    client.post("/v1/refunds", &[("payment_intent", &pi)]).await.ok();
    let deliveries = endpoint.wait(5).await;
    assert_eq!(
        kinds(&deliveries),
        [
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded",
            "refund.created",
            "charge.refunded"
        ]
    );
    let first = deliveries[0].event();
    assert_eq!(first["data"]["object"], intent);
    assert!(
        first["request"]["idempotency_key"]
            .as_str()
            .unwrap()
            .starts_with("key-")
    );
    for delivery in &deliveries {
        let (at, digest) = delivery
            .signature
            .strip_prefix("t=")
            .unwrap()
            .split_once(",v1=")
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{at}.{}", delivery.payload).as_bytes());
        mac.verify_slice(&hex::decode(digest).unwrap()).unwrap();
    }
    let listed = client.get("/v1/events?limit=100").await.ok();
    let mut listed: Vec<_> = listed["data"].as_array().unwrap().clone();
    listed.reverse();
    assert_eq!(listed, deliveries.iter().map(Delivery::event).collect::<Vec<_>>());
    let refunded = client.get("/v1/events?type=charge.refunded").await.ok();
    assert_eq!(refunded["data"].as_array().unwrap().len(), 1);
    running.stop().await;
}

/// What the endpoint does not take comes again, also from the next process, and in order.
#[tokio::test]
async fn events_that_are_not_taken_come_again_after_a_restart() {
    let (dir, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    endpoint.seen.status.store(500, Ordering::SeqCst);
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    let pi = id(&client.authorize("pm_card_visa").await);
    client
        .post(&format!("/v1/payment_intents/{pi}/cancel"), &[])
        .await
        .ok();
    let refused = endpoint.wait(3).await;
    assert_eq!(
        refused
            .iter()
            .map(|d| id(&d.event()))
            .collect::<HashSet<_>>()
            .len(),
        1,
        "the head only"
    );
    drop(running);
    endpoint.seen.status.store(0, Ordering::SeqCst);
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    let last = until("the last event", || async {
        let deliveries = endpoint.deliveries();
        deliveries
            .last()
            .is_some_and(|d| d.kind() == "payment_intent.canceled")
            .then_some(deliveries)
    })
    .await;
    assert_eq!(last[last.len() - 2].event(), refused[0].event());
    until("the ledger's note of it", || async {
        let state = client.get("/sandbox/faults").await.ok();
        (state["webhooks_waiting"] == 0).then_some(())
    })
    .await;
    running.stop().await;
    // What was taken is not sent by a third process.
    let before = endpoint.deliveries().len();
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    assert_eq!(client.get("/sandbox/faults").await.ok()["webhooks_waiting"], 0);
    client.authorize("pm_card_visa").await;
    let all = endpoint.wait(before + 1).await;
    assert_eq!(all.len(), before + 1);
    running.stop().await;
}

#[tokio::test]
async fn the_methods_that_duplicate_and_reorder_do_so() {
    let (dir, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    client.authorize("pm_sandbox_webhookDuplicated").await;
    let twice = endpoint.wait(2).await;
    assert_eq!(twice[0].event(), twice[1].event());

    let pi = id(&client.authorize("pm_sandbox_webhookReordered").await);
    client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await
        .ok();
    let deliveries = endpoint.wait(5).await;
    assert_eq!(
        kinds(&deliveries[2..]),
        [
            "payment_intent.succeeded",
            "charge.captured",
            "payment_intent.amount_capturable_updated"
        ]
    );
    running.stop().await;
}

/// An endpoint that is down costs the API nothing.
#[tokio::test]
async fn requests_do_not_wait_for_the_endpoint() {
    let (dir, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start());
    let (running, client) = start_with(options(dir.path(), &endpoint)).await;
    client.faults(r#"{"webhooks_paused": true}"#).await;
    for _ in 0..20 {
        client.authorize("pm_card_visa").await;
    }
    assert!(endpoint.deliveries().len() <= 1, "one may have passed the pause");
    client.faults(r#"{"webhooks_paused": false}"#).await;
    endpoint.wait(20).await;
    running.stop().await;
}
