//! Whose an endpoint is, and what it may be.

use ferrocart_http_kit::Role;
use reqwest::Method;
use serde_json::json;

use crate::merchant::{ENDPOINTS, Merchant, change};
use crate::receiver::Receiver;
use crate::support::Office;

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_seen_and_changed_by_their_owner_alone() {
    let office = Office::open().await;
    let (ada, eve) = (Merchant::new(&office), Merchant::new(&office));
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let endpoint = ada.endpoint(json!({"url": url})).await;
    let test = ada
        .api
        .post(&format!("{}/test", endpoint.path), json!({}))
        .await
        .expect(202)
        .json;
    let delivery = format!(
        "{}/deliveries/{}",
        endpoint.path,
        test["delivery_id"].as_str().unwrap()
    );
    let own = ada.api.get(ENDPOINTS).await.expect(200);
    assert_eq!(own.json["items"].as_array().unwrap().len(), 1);
    assert!(!own.json.to_string().contains("whsec_"));
    let stored: Vec<u8> = sqlx::query_scalar("SELECT secret FROM webhook_endpoints")
        .fetch_one(&office.pool)
        .await
        .unwrap();
    assert_eq!(stored.len(), 12 + 24 + 16);

    assert_eq!(eve.api.get(ENDPOINTS).await.expect(200).json["items"], json!([]));
    let (none, path) = ("ENDPOINT_NOT_FOUND", endpoint.path.as_str());
    eve.api.get(path).await.expect_problem(404, none);
    eve.api.delete(path).await.expect_problem(404, none);
    eve.api
        .get(&format!("{path}/deliveries"))
        .await
        .expect_problem(404, none);
    eve.api.get(&delivery).await.expect_problem(404, none);
    for call in ["rotate", "test"] {
        eve.api
            .post(&format!("{path}/{call}"), json!({}))
            .await
            .expect_problem(404, none);
    }
    eve.api
        .post(&format!("{delivery}/redeliver"), json!({}))
        .await
        .expect_problem(404, none);
    let patch = eve
        .api
        .send(Method::PATCH, path, Some(&json!({"description": "hers"})), &[])
        .await;
    patch.expect_problem(404, none);
    let other = eve.endpoint(json!({"url": url})).await;
    let foreign = format!(
        "{}/deliveries/{}",
        other.path,
        test["delivery_id"].as_str().unwrap()
    );
    eve.api
        .get(&foreign)
        .await
        .expect_problem(404, "DELIVERY_NOT_FOUND");
    eve.api
        .post(&format!("{foreign}/redeliver"), json!({}))
        .await
        .expect_problem(404, "DELIVERY_NOT_FOUND");
    for role in [Role::Customer, Role::Support, Role::Warehouse, Role::Guest] {
        let (_, token) = office.env.keys.new_user("notification", &[role]);
        let api = office.api.with_token(token);
        api.get(ENDPOINTS).await.expect_problem(403, "FORBIDDEN");
        api.post(ENDPOINTS, json!({"url": url}))
            .await
            .expect_problem(403, "FORBIDDEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_what_its_owner_makes_of_it() {
    let office = Office::open_with(|settings| settings.webhooks.endpoints_max = 2).await;
    let ada = Merchant::new(&office);
    let url = "https://localhost/";
    let endpoint = ada.endpoint(json!({"url": url, "description": "mine"})).await;
    let path = endpoint.path.as_str();
    ada.endpoint(json!({"url": url})).await;
    ada.api
        .post(ENDPOINTS, json!({"url": url}))
        .await
        .expect_problem(409, "TOO_MANY_ENDPOINTS");
    for bad in [
        json!({}),
        json!({"url": url, "event_types": ["order.eaten"]}),
        json!({"url": url, "event_types": ["webhook.test"]}),
        json!({"url": url, "description": "x".repeat(201)}),
        json!({"url": url, "secret": "whsec_mine"}),
    ] {
        ada.api
            .post(ENDPOINTS, bad)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    let changed = change(
        &ada,
        &endpoint,
        json!({"event_types": ["stock.low"], "status": "DISABLED"}),
    )
    .await;
    assert_eq!(changed["description"], "mine");
    assert_eq!(
        (&changed["event_types"], &changed["disabled_reason"]),
        (&json!(["stock.low"]), &json!("OWNER"))
    );
    assert_eq!(ada.api.get(path).await.expect(200).json, changed);
    ada.api.delete(path).await.expect(204);
    ada.api.get(path).await.expect_problem(404, "ENDPOINT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_public_is_refused_and_is_not_sent_to() {
    let mut office = Office::open().await;
    let mut ada = Merchant::new(&office);
    let receiver = Receiver::start().await;
    // As names are that lead to public addresses when they are taken down, and elsewhere later.
    let named = format!("https://localhost:{}/", receiver.port());
    let (literal, named) = (
        ada.endpoint(json!({"url": receiver.url("/")})).await,
        ada.endpoint(json!({"url": named})).await,
    );
    office.stop_all().await;
    office.settings.webhooks.allow_loopback = false;
    office.api = office.start();
    office.ready().await;
    ada.api = office.api.with_token(ada.token.clone());
    for (endpoint, reason) in [
        (literal, "its address is not allowed"),
        (named, "its address is not public"),
    ] {
        let test = format!("{}/test", endpoint.path);
        ada.api.post(&test, json!({})).await.expect(202);
        let failed = ada.settled(&endpoint, "FAILED", 1).await;
        assert_eq!(failed[0]["error"], reason);
    }
    assert!(receiver.requests().is_empty());
    for url in [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://2130706433/",
        "https://no-such-host.invalid/",
        "http://example.com/",
        "https://a:b@example.com/",
        "not a url",
    ] {
        let answer = ada.api.post(ENDPOINTS, json!({"url": url})).await;
        let refused = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.json["errors"][0]["field"], "url", "{url}");
    }
}
