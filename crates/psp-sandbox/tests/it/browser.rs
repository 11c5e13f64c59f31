//! What a customer's browser may do with the publishable key.

use crate::client::{Client, KEY, start};
use ferrocart_psp_sandbox::PUBLISHABLE_KEY;
use serde_json::Value;

async fn call(client: &Client, method: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}{path}", client.base);
    let request = match method {
        "GET" => client.http.get(url).query(form),
        _ => client.http.post(url).form(form),
    };
    let answer = request.bearer_auth(PUBLISHABLE_KEY).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn the_publishable_key_reads_and_confirms_one_intent_with_its_client_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("capture_method", "manual"),
        ("metadata[order_id]", "secret-to-the-shop"),
    ];
    let intent = client.post("/v1/payment_intents", &form).await.ok();
    let other = client.post("/v1/payment_intents", &form).await.ok();
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    let confirm = format!("{path}/confirm");
    let secret = |intent: &Value| intent["client_secret"].as_str().unwrap().to_owned();
    let (mine, foreign) = (secret(&intent), secret(&other));
    for secret in ["", "pi_secret", foreign.as_str(), KEY] {
        for (method, path) in [("GET", &path), ("POST", &confirm)] {
            let (status, error) = call(&client, method, path, &[("client_secret", secret)]).await;
            assert_eq!(status, 400, "{method} {secret}: {error}");
            assert_eq!(error["error"]["param"], "client_secret");
        }
    }
    for (method, path) in [
        ("POST", "/v1/payment_intents".to_owned()),
        ("GET", "/v1/payment_intents".to_owned()),
        ("GET", "/v1/payment_intents/search".to_owned()),
        ("POST", format!("{path}/cancel")),
        ("POST", format!("{path}/capture")),
        ("POST", "/v1/refunds".to_owned()),
        ("GET", "/v1/events".to_owned()),
    ] {
        let (status, error) = call(&client, method, &path, &[("client_secret", &mine)]).await;
        assert_eq!(status, 403, "{method} {path}");
        assert_eq!(error["error"]["code"], "secret_key_required");
    }
    for path in ["/sandbox/ledger", "/sandbox/faults"] {
        assert_eq!(call(&client, "GET", path, &[]).await.0, 403, "{path}");
    }
    let declined = [
        ("client_secret", mine.as_str()),
        ("payment_method", "pm_card_chargeDeclined"),
    ];
    let (status, error) = call(&client, "POST", &confirm, &declined).await;
    assert_eq!(status, 402, "{error}");
    let seen = &error["error"]["payment_intent"];
    assert_eq!(seen["status"], "requires_payment_method");
    assert!(seen.get("metadata").is_none(), "{seen}");
    let good = [
        ("client_secret", mine.as_str()),
        ("payment_method", "pm_card_visa"),
    ];
    let (status, held) = call(&client, "POST", &confirm, &good).await;
    assert_eq!((status, &held["status"]), (200, &"requires_capture".into()));
    assert!(held.get("metadata").is_none(), "{held}");
    let (status, read) = call(&client, "GET", &path, &[("client_secret", &mine)]).await;
    assert_eq!((status, &read["status"]), (200, &"requires_capture".into()));
    running.stop().await;
}
