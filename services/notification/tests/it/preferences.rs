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

/// As an e-mail program does it: RFC 8058.
#[tokio::test(flavor = "multi_thread")]
async fn one_click_stops_one_kind_of_email_and_nothing_else() {
    let office = Office::open().await;
    let (ada_id, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let ada = office.api.with_token(token);
    ada.put(PATH, json!({"locale": "de"})).await.expect(200);
    let bought = order(ada_id.as_uuid());
    office.tell(&confirmed(&bought)).await;
    office.tell(&shipped(&next(&bought))).await;
    let rows = office.settled(&bought.order_id, "SENT", 2).await;
    // What belongs to the purchase has no such link.
    assert!(
        !office
            .email(&rows[0])
            .header_names()
            .contains(&"list-unsubscribe")
    );
    let email = office.email(&rows[1]);
    assert_eq!(
        email.header("list-unsubscribe-post"),
        "List-Unsubscribe=One-Click"
    );
    let url = email
        .header("list-unsubscribe")
        .trim_matches(['<', '>'])
        .to_owned();
    let link = url.strip_prefix("https://shop.test").unwrap();
    assert!(email.text().contains(&url), "{}", email.text());
    let html = email.html().replace("&#x2f;", "/");
    assert!(html.contains(&url), "{html}");

    // Whoever clicks has no account with the mail program: an anonymous caller, as the gateway forwards one.
    let anyone = office
        .api
        .with_token(office.env.keys.anonymous_token("notification"));
    anyone.get(link).await.expect(200);
    let enabled = |told: &serde_json::Value, kind: &str| {
        let items = told["items"].as_array().unwrap();
        items.iter().find(|item| item["kind"] == kind).unwrap()["enabled"] == true
    };
    let told = ada.get(PATH).await.expect(200).json;
    assert!(enabled(&told, "order_shipped"), "looking changes nothing");
    let mut forged = link.to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    for bad in [
        forged.as_str(),
        "/v1/notifications/unsubscribe?token=",
        "/v1/notifications/unsubscribe",
    ] {
        anyone
            .post(bad, json!({}))
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    for _ in 0..2 {
        anyone.post(link, json!({})).await.expect(200);
    }
    let told = ada.get(PATH).await.expect(200).json;
    assert!(!enabled(&told, "order_shipped") && enabled(&told, "order_delivered"));
    assert_eq!(told["locale"], "de");

    let again = order(ada_id.as_uuid());
    office.tell(&shipped(&again)).await;
    office.tell(&delivered(&next(&again))).await;
    let rows = office.settled(&again.order_id, "SENT", 1).await;
    assert_eq!(rows[0].kind, "order_delivered");
}
