//! The published test methods, and the sandbox's own.

use crate::client::{Client, authorization, id, start, until};
use std::time::Duration;

#[tokio::test]
async fn declines_carry_stripes_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    for (method, code, decline_code) in [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
        ),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
        ),
        (
            "pm_card_chargeDeclinedExpiredCard",
            "expired_card",
            "expired_card",
        ),
        (
            "pm_card_chargeDeclinedIncorrectCvc",
            "incorrect_cvc",
            "incorrect_cvc",
        ),
    ] {
        let answer = client
            .post("/v1/payment_intents", &authorization(method, "o"))
            .await;
        let error = answer.error(402, code);
        assert_eq!(
            (&error["type"], &error["decline_code"]),
            (&"card_error".into(), &decline_code.into())
        );
        let charge = client
            .get(&format!("/v1/charges/{}", error["charge"].as_str().unwrap()))
            .await
            .ok();
        assert_eq!(
            (&charge["status"], &charge["paid"]),
            (&"failed".into(), &false.into())
        );
    }
    let unknown = client
        .post("/v1/payment_intents", &authorization("pm_nobody", "o"))
        .await;
    unknown.error(400, "resource_missing");
    running.stop().await;
}

async fn challenged(client: &Client) -> (String, String) {
    let mut form = authorization("pm_card_authenticationRequired", "o").to_vec();
    form.push(("return_url", "https://shop.example/return?x=1"));
    let intent = client.post("/v1/payment_intents", &form).await.ok();
    assert_eq!(intent["status"], "requires_action");
    assert_eq!(intent["next_action"]["type"], "redirect_to_url");
    let url = intent["next_action"]["redirect_to_url"]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    (id(&intent), url)
}

async fn decide(client: &Client, url: &str, result: &str) -> String {
    let page = client.http.get(url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("value=\"approve\""));
    let answer = client
        .http
        .post(url)
        .form(&[("result", result)])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_customer_approves_or_refuses_at_the_bank() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let (pi, url) = challenged(&client).await;
    let location = decide(&client, &url, "approve").await;
    assert!(
        location.starts_with("https://shop.example/return?x=1&payment_intent=pi_"),
        "{location}"
    );
    assert!(location.ends_with("redirect_status=succeeded"), "{location}");
    let intent = client.get(&format!("/v1/payment_intents/{pi}")).await.ok();
    assert_eq!(intent["status"], "requires_capture");
    // A second thought changes nothing.
    let answer = client
        .http
        .post(&url)
        .form(&[("result", "refuse")])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(
        client.get(&format!("/v1/payment_intents/{pi}")).await.ok(),
        intent
    );

    let (pi, url) = challenged(&client).await;
    let location = decide(&client, &url, "refuse").await;
    assert!(location.ends_with("redirect_status=failed"), "{location}");
    let intent = client.get(&format!("/v1/payment_intents/{pi}")).await.ok();
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(
        intent["last_payment_error"]["code"],
        "payment_intent_authentication_failure"
    );

    let mut form = authorization("pm_card_authenticationRequired", "o").to_vec();
    form.push(("off_session", "true"));
    client
        .post("/v1/payment_intents", &form)
        .await
        .error(402, "authentication_required");
    running.stop().await;
}

#[tokio::test]
async fn a_capture_whose_answer_is_lost_has_happened_once() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let pi = id(&client.authorize("pm_sandbox_captureAnswerLost").await);
    let path = format!("/v1/payment_intents/{pi}/capture");
    assert!(client.send(&path, "capture", &[]).await.is_err());
    let intent = client.get(&format!("/v1/payment_intents/{pi}")).await.ok();
    assert_eq!(
        (&intent["status"], &intent["amount_received"]),
        (&"succeeded".into(), &1000.into())
    );
    let again = client.send(&path, "capture", &[]).await.unwrap();
    assert_eq!(again.ok(), intent);
    running.stop().await;
}

#[tokio::test]
async fn an_authorization_that_is_never_answered_is_found_by_its_key_and_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let silent = client.clone();
    let held = crate::client::spawn(async move {
        let form = authorization("pm_sandbox_noAnswer", "order-9");
        silent.send("/v1/payment_intents", "silent", &form).await.is_err()
    });
    let search = "/v1/payment_intents/search?query=metadata%5B%27order_id%27%5D%3A%27order-9%27";
    let found = until("the payment", || async {
        let result = client.get(search).await.ok();
        result["data"].get(0).cloned()
    })
    .await;
    assert_eq!(found["status"], "requires_capture");
    let form = authorization("pm_sandbox_noAnswer", "order-9");
    let again = until("the answer", || async {
        let answer = client.send("/v1/payment_intents", "silent", &form).await.unwrap();
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(again.body["id"], found["id"]);
    assert!(!held.is_finished());
    // The end of the process is not held up, and the client is never answered.
    tokio::time::timeout(Duration::from_secs(5), running.stop())
        .await
        .unwrap();
    assert!(held.await.unwrap());
}
