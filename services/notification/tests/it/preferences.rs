//! How a customer wants to be written to.

use ferrocart_http_kit::Role;
use serde_json::json;

use crate::support::{Office, confirmed, delivered, next, order, shipped};

const PATH: &str = "/v1/notifications/preferences";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_is_not_sent_and_the_rest_is_in_the_language_that_was_chosen() {
    let office = Office::open().await;
    let (ada_id, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let ada = office.api.with_token(token);
    let told = ada.get(PATH).await.expect(200).json;
    assert_eq!(told["locale"], json!(null));
    let items = told["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["enabled"] == true));
    let required = items.iter().filter(|item| item["required"] == true);
    assert_eq!((items.len(), required.count()), (5, 3));

    let shipped_off = json!({"channel": "email", "kind": "order_shipped", "enabled": false});
    let wanted = json!({"locale": "de", "items": [shipped_off]});
    ada.put(PATH, &wanted).await.expect(200);
    let told = ada.get(PATH).await.expect(200).json;
    assert_eq!(told["locale"], "de");
    // What was read can be sent back.
    assert_eq!(ada.put(PATH, &told).await.expect(200).json, told);

    let bought = order(ada_id.as_uuid());
    office.tell(&confirmed(&bought)).await;
    office.tell(&shipped(&next(&bought))).await;
    office.tell(&delivered(&next(&next(&bought)))).await;
    let rows = office.settled(&bought.order_id, "SENT", 2).await;
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["order_confirmed", "order_delivered"]);
    let email = office.email(&rows[0]);
    assert_eq!(email.header("content-language"), "de");
    assert!(
        email.header("subject").contains("ist bestätigt"),
        "{}",
        email.header("subject")
    );
    for body in [email.text(), email.html()] {
        assert!(
            body.contains("Deine Bestellung ist bestätigt") && body.contains("1299,99 USD"),
            "{body}"
        );
    }
    let listed = ada.get("/v1/notifications").await.expect(200).json;
    assert_eq!(listed["items"][0]["locale"], "de");

    // Another customer is written to as before.
    let (eve_id, token) = office.env.keys.new_user("notification", &[Role::Guest]);
    let eves = order(eve_id.as_uuid());
    office.tell(&shipped(&eves)).await;
    let rows = office.settled(&eves.order_id, "SENT", 1).await;
    assert_eq!(office.email(&rows[0]).header("content-language"), "en");
    let told = office.api.with_token(token).get(PATH).await.expect(200).json;
    assert_eq!(told["locale"], json!(null));

    // An empty wish is all defaults again.
    let told = ada.put(PATH, json!({})).await.expect(200).json;
    assert!(
        told["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["enabled"] == true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_wanted_is_refused_and_changes_nothing() {
    let office = Office::open().await;
    let (_, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let ada = office.api.with_token(token);
    ada.put(PATH, json!({"locale": "de"})).await.expect(200);
    let item = |kind: &str, enabled: bool| json!({"channel": "email", "kind": kind, "enabled": enabled});
    let required = json!({"items": [item("order_confirmed", false)]});
    ada.put(PATH, &required)
        .await
        .expect_problem(422, "PREFERENCE_REQUIRED");
    for bad in [
        json!({"locale": "tlh"}),
        json!({"items": [item("order_eaten", true)]}),
        json!({"items": [item("order_shipped", true), item("order_shipped", false)]}),
        json!({"items": vec![item("order_shipped", true); 65]}),
        json!({"items": [], "more": 1}),
    ] {
        ada.put(PATH, &bad).await.expect_problem(400, "VALIDATION_ERROR");
    }
    assert_eq!(ada.get(PATH).await.expect(200).json["locale"], "de");
    let anonymous = office
        .api
        .with_token(office.env.keys.anonymous_token("notification"));
    anonymous.get(PATH).await.expect_problem(401, "UNAUTHENTICATED");
    anonymous
        .put(PATH, json!({}))
        .await
        .expect_problem(401, "UNAUTHENTICATED");
}
