//! Authorize, capture, cancel, refund, read.

use crate::client::{Client, KEY, authorization, id, start, start_with};
use ferrocart_psp_sandbox::{ManualClock, Options};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn a_payment_is_authorized_captured_and_refunded() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let intent = client.authorize("pm_card_visa").await;
    assert_eq!(intent["status"], "requires_capture");
    assert_eq!(
        (&intent["amount_capturable"], &intent["amount_received"]),
        (&json!(1000), &json!(0))
    );
    assert_eq!(intent["metadata"], json!({ "order_id": "order-1" }));
    let pi = id(&intent);
    assert!(pi.starts_with("pi_") && pi.len() == 27, "{pi}");
    let charge = client
        .get(&format!(
            "/v1/charges/{}",
            intent["latest_charge"].as_str().unwrap()
        ))
        .await
        .ok();
    let created = intent["created"].as_i64().unwrap();
    assert_eq!(
        charge["payment_method_details"]["card"]["capture_before"],
        created + 7 * 24 * 60 * 60
    );

    let captured = client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await
        .ok();
    assert_eq!(captured["status"], "succeeded");
    assert_eq!(
        (&captured["amount_capturable"], &captured["amount_received"]),
        (&json!(0), &json!(1000))
    );
    let again = client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await;
    let error = again.error(400, "payment_intent_unexpected_state");
    assert_eq!(error["payment_intent"]["status"], "succeeded");
    let late = client
        .post(&format!("/v1/payment_intents/{pi}/cancel"), &[])
        .await;
    late.error(400, "payment_intent_unexpected_state");

    let refund = client
        .post("/v1/refunds", &[("payment_intent", &pi), ("amount", "400")])
        .await
        .ok();
    assert_eq!(
        (&refund["amount"], &refund["status"]),
        (&json!(400), &json!("succeeded"))
    );
    let read = client.get(&format!("/v1/refunds/{}", id(&refund))).await.ok();
    assert_eq!(read, refund);
    let rest = client.post("/v1/refunds", &[("payment_intent", &pi)]).await.ok();
    assert_eq!(rest["amount"], 600);
    let charge = &client.get(&format!("/v1/charges?payment_intent={pi}")).await.ok()["data"][0];
    assert_eq!(
        (&charge["refunded"], &charge["amount_refunded"]),
        (&json!(true), &json!(1000))
    );
    let none = client.post("/v1/refunds", &[("payment_intent", &pi)]).await;
    none.error(400, "charge_already_refunded");
    running.stop().await;
}

#[tokio::test]
async fn a_partial_capture_takes_its_part_and_releases_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let pi = id(&client.authorize("pm_card_mastercard").await);
    let path = format!("/v1/payment_intents/{pi}/capture");
    let more = client.post(&path, &[("amount_to_capture", "1001")]).await;
    more.error(400, "amount_too_large");
    let part = client
        .post(
            &path,
            &[("amount_to_capture", "700"), ("expand[]", "latest_charge")],
        )
        .await
        .ok();
    assert_eq!(
        (&part["amount"], &part["amount_received"]),
        (&json!(1000), &json!(700))
    );
    assert_eq!(part["latest_charge"]["amount_captured"], 700);
    let refund = client
        .post("/v1/refunds", &[("payment_intent", &pi), ("amount", "701")])
        .await;
    refund.error(400, "amount_too_large");
    running.stop().await;
}

#[tokio::test]
async fn a_cancelled_authorization_cannot_be_captured_or_refunded() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let pi = id(&client.authorize("pm_card_visa").await);
    let path = format!("/v1/payment_intents/{pi}");
    let reason = [("cancellation_reason", "requested_by_customer")];
    let canceled = client.post(&format!("{path}/cancel"), &reason).await.ok();
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["cancellation_reason"], "requested_by_customer");
    assert_eq!(canceled["amount_capturable"], 0);
    for (path, form) in [
        (format!("{path}/capture"), vec![]),
        (format!("{path}/cancel"), vec![]),
        (
            format!("{path}/confirm"),
            vec![("payment_method", "pm_card_visa")],
        ),
        ("/v1/refunds".to_owned(), vec![("payment_intent", pi.as_str())]),
    ] {
        client
            .post(&path, &form)
            .await
            .error(400, "payment_intent_unexpected_state");
    }
    running.stop().await;
}

/// Whatever arrives together: what goes back is never more than what was taken.
#[tokio::test]
async fn concurrent_refunds_never_pass_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let pi = id(&client.authorize("pm_card_visa").await);
    client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await
        .ok();
    let refunds = (0..20).map(|_| {
        let (client, pi) = (client.clone(), pi.clone());
        async move {
            client
                .post("/v1/refunds", &[("payment_intent", &pi), ("amount", "300")])
                .await
                .status
        }
    });
    let statuses = futures::future::join_all(refunds).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3);
    let list = client
        .get(&format!("/v1/refunds?payment_intent={pi}&limit=100"))
        .await
        .ok();
    let sum: i64 = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(sum, 900);
    running.stop().await;
}

#[tokio::test]
async fn a_payment_is_confirmed_later_and_again_after_a_decline() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let form = [
        ("amount", "1000"),
        ("currency", "eur"),
        ("capture_method", "manual"),
    ];
    let intent = client.post("/v1/payment_intents", &form).await.ok();
    assert_eq!(intent["status"], "requires_payment_method");
    let confirm = format!("/v1/payment_intents/{}/confirm", id(&intent));
    client.post(&confirm, &[]).await.error(400, "parameter_missing");
    let declined = client
        .post(&confirm, &[("payment_method", "pm_card_chargeDeclined")])
        .await;
    let error = declined.error(402, "card_declined");
    assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
    assert_eq!(
        error["payment_intent"]["last_payment_error"]["decline_code"],
        "generic_decline"
    );
    let approved = client
        .post(&confirm, &[("payment_method", "pm_card_visa")])
        .await
        .ok();
    assert_eq!(approved["status"], "requires_capture");
    assert_eq!(approved["last_payment_error"], Value::Null);
    let charges = client
        .get(&format!("/v1/charges?payment_intent={}", id(&intent)))
        .await
        .ok();
    let statuses: Vec<_> = charges["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["status"].clone())
        .collect();
    assert_eq!(statuses, ["succeeded", "failed"]);
    running.stop().await;
}

#[tokio::test]
async fn an_authorization_ends_with_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1_800_000_000));
    let options = Options {
        hold_seconds: 100,
        clock: clock.clone(),
        ..Options::new(dir.path(), KEY)
    };
    let (running, client) = start_with(options).await;
    let intent = client.authorize("pm_card_visa").await;
    let path = format!("/v1/payment_intents/{}", id(&intent));
    clock.advance(99);
    assert_eq!(client.get(&path).await.ok()["status"], "requires_capture");
    clock.advance(1);
    // Either the sweeper was there before, or the capture itself sees the time.
    let refused = client.post(&format!("{path}/capture"), &[]).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    let canceled = crate::client::until("the expiry", || async {
        let intent = client.get(&path).await.ok();
        (intent["status"] == "canceled").then_some(intent)
    })
    .await;
    assert_eq!(canceled["cancellation_reason"], "automatic");
    running.stop().await;
}

#[tokio::test]
async fn payments_are_found_by_order_and_listed_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let mut ids = Vec::new();
    for order in ["a", "b", "c", "d", "e"] {
        let form = authorization("pm_card_visa", order);
        ids.push(id(&client.post("/v1/payment_intents", &form).await.ok()));
    }
    ids.reverse();
    let query = |text: &str| {
        let query = serde_urlencoded::to_string([("query", text)]).unwrap();
        format!("/v1/payment_intents/search?{query}")
    };
    let found = client.get(&query("metadata['order_id']:'c'")).await.ok();
    assert_eq!(found["object"], "search_result");
    assert_eq!(listed(&found), [ids[2].clone()]);
    let none = client
        .get(&query("metadata['order_id']:'c' AND status:'canceled'"))
        .await
        .ok();
    assert!(listed(&none).is_empty());

    let (mut pages, mut path) = (Vec::new(), "/v1/payment_intents?limit=2".to_owned());
    loop {
        let page = client.get(&path).await.ok();
        pages.extend(listed(&page));
        if page["has_more"] == false {
            break;
        }
        path = format!(
            "/v1/payment_intents?limit=2&starting_after={}",
            pages.last().unwrap()
        );
    }
    assert_eq!(pages, ids);
    let back = client
        .get(&format!("/v1/payment_intents?limit=2&ending_before={}", ids[3]))
        .await
        .ok();
    assert_eq!(
        (listed(&back), &back["has_more"]),
        (ids[1..3].to_vec(), &json!(true))
    );
    client
        .get("/v1/payment_intents?starting_after=pi_none")
        .await
        .error(400, "resource_missing");
    running.stop().await;
}

fn listed(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn nothing_is_answered_without_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    for path in [
        "/v1/payment_intents",
        "/v1/nothing",
        "/sandbox/ledger",
        "/sandbox/faults",
    ] {
        let url = format!("{}{path}", client.base);
        assert_eq!(
            client.http.get(&url).send().await.unwrap().status(),
            401,
            "{path}"
        );
        let wrong = client.http.get(&url).bearer_auth("sk_test_i");
        assert_eq!(wrong.send().await.unwrap().status(), 401, "{path}");
    }
    let url = format!("{}/v1/payment_intents", client.base);
    let basic = client
        .http
        .get(&url)
        .basic_auth(KEY, Some(""))
        .send()
        .await
        .unwrap();
    assert_eq!(basic.status(), 200);
    assert!(
        basic.headers()["request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
    client
        .get("/v1/payment_intents/pi_none")
        .await
        .error(404, "resource_missing");
    assert_eq!(client.get("/v1/nothing").await.status, 404);
    running.stop().await;
}

#[tokio::test]
async fn card_numbers_are_refused_and_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    for name in ["card[number]", "payment_method_data[card][number]"] {
        let form = [
            ("amount", "1000"),
            ("currency", "usd"),
            (name, "4242424242424242"),
        ];
        let answer = client.post("/v1/payment_intents", &form).await;
        assert!(!answer.body.to_string().contains("42424242"));
        answer.error(400, "card_data_refused");
    }
    assert_eq!(client.ledger().await.len(), 1, "only the line of numbers");
    running.stop().await;
    let journal = std::fs::read_to_string(dir.path().join("ledger.jsonl")).unwrap();
    assert!(!journal.contains("42424242"));
}

/// The numbers of the first line, and of the objects behind it, agree.
#[tokio::test]
async fn the_ledger_streams_every_object() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let authorizations = (0..250).map(|_| authorize_only(&client));
    futures::future::join_all(authorizations).await;
    let pi = id(&client.authorize("pm_card_visa").await);
    client
        .post(&format!("/v1/payment_intents/{pi}/capture"), &[])
        .await
        .ok();
    client.post("/v1/refunds", &[("payment_intent", &pi)]).await.ok();
    let lines = client.ledger().await;
    let count = |object: &str| lines.iter().filter(|line| line["object"] == object).count();
    assert_eq!(
        (count("payment_intent"), count("charge"), count("refund")),
        (251, 251, 1)
    );
    assert_eq!(lines[0]["payment_intents"], 251);
    running.stop().await;
}

async fn authorize_only(client: &Client) {
    client.authorize("pm_card_visa").await;
}
