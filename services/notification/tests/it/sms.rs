//! By SMS, to a provider that is sometimes away, says no, or is not heard.

use ferrocart_http_kit::Role;
use ferrocart_notification::SmsSettings;
use ferrocart_test_kit::{Api, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sms_server::{ACCOUNT, Fate, PASSWORD, SmsServer};
use crate::support::{Office, Row, cancelled, confirmed, next, order, partly_refunded, shipped};

const PATH: &str = "/v1/notifications/preferences";
pub(crate) const FROM: &str = "+12025550123";
pub(crate) const PHONE: &str = "+4915112345678";

async fn office(server: &SmsServer) -> Office {
    let url = server.url();
    Office::open_with(|settings| {
        settings.sms_auth_token = PASSWORD.to_owned().into();
        settings.sms = SmsSettings {
            url,
            account_sid: ACCOUNT.to_owned(),
            from: FROM.to_owned(),
            prefixes: "+49, +43".to_owned(),
            ..settings.sms.clone()
        };
    })
    .await
}

fn by_sms(kinds: &[&str]) -> Value {
    kinds
        .iter()
        .map(|kind| json!({"channel": "sms", "kind": kind, "enabled": true}))
        .collect()
}

/// A customer who wants these by SMS.
async fn customer(office: &Office, phone: &str, kinds: &[&str]) -> (Uuid, Api) {
    let (id, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let api = office.api.with_token(token);
    api.put(PATH, json!({"phone": phone, "items": by_sms(kinds)}))
        .await
        .expect(200);
    (id.as_uuid(), api)
}

fn texts(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.channel == "sms").collect()
}

/// Waits until the order's one message by SMS is in that state.
async fn text(office: &Office, order: &str, status: &str) -> Row {
    eventually(&format!("an SMS that is {status}"), || async {
        let rows = office.rows(order).await;
        texts(&rows)
            .first()
            .filter(|row| row.status == status)
            .map(|row| (*row).clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_it_is_told_by_sms_as_well_and_nobody_else() {
    let server = SmsServer::start().await;
    let office = office(&server).await;
    let (ada_id, ada) = customer(&office, PHONE, &["order_shipped", "order_cancelled"]).await;
    let told = ada.get(PATH).await.expect(200).json;
    assert_eq!(
        (told["phone"].as_str(), told["items"].as_array().unwrap().len()),
        (Some(PHONE), 10)
    );
    // What was read can be sent back.
    assert_eq!(ada.put(PATH, &told).await.expect(200).json, told);

    let bought = order(ada_id);
    office.tell(&confirmed(&bought)).await;
    office.tell(&shipped(&next(&bought))).await;
    let rows = office.settled(&bought.order_id, "SENT", 3).await;
    assert_eq!(texts(&rows).len(), 1);
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].to.as_str(), taken[0].from.as_str()), (PHONE, FROM));
    let words = format!(
        "Ferrocart: your order {} is on its way. Fast Parcel FP-123-XYZ",
        bought.order_id
    );
    assert_eq!(taken[0].body, words);
    assert_eq!((server.sent(), server.asked()), (1, 0), "a first try is no doubt");
    let listed = ada.get("/v1/notifications").await.expect(200).json;
    let channels: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["channel"].as_str().unwrap())
        .collect();
    assert_eq!(channels.iter().filter(|channel| **channel == "sms").count(), 1);

    let german = json!({"locale": "de", "phone": PHONE, "items": by_sms(&["order_cancelled"])});
    ada.put(PATH, &german).await.expect(200);
    let again = order(ada_id);
    office.tell(&shipped(&again)).await;
    office.tell(&cancelled(&next(&again), "PICK_FAILED")).await;
    let rows = office.settled(&again.order_id, "SENT", 3).await;
    assert_eq!(texts(&rows)[0].kind, "order_cancelled");
    let body = server.taken().pop().unwrap().body;
    assert!(body.contains("wurde storniert. Unser Lager"), "{body}");

    let (eve, _) = office.env.keys.new_user("notification", &[Role::Guest]);
    let eves = order(eve.as_uuid());
    office.tell(&shipped(&eves)).await;
    office.settled(&eves.order_id, "SENT", 1).await;
    // No number, no SMS any more.
    ada.put(PATH, json!({})).await.expect(200);
    let last = order(ada_id);
    office.tell(&cancelled(&last, "PICK_FAILED")).await;
    office.settled(&last.order_id, "SENT", 1).await;
    assert_eq!(server.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leads_to_no_second_sms() {
    let server = SmsServer::start().await;
    server.answer(|before, _| match before {
        0 => Fate::AnswerLost,
        1 => Fate::Silence,
        _ => Fate::Taken,
    });
    let office = office(&server).await;
    let (ada_id, _) = customer(&office, PHONE, &["order_shipped", "order_refunded"]).await;
    let bought = order(ada_id);
    office.tell(&shipped(&bought)).await;
    let row = text(&office, &bought.order_id, "SENT").await;
    assert_eq!((row.attempts, row.refusals), (2, 0));
    office.tell(&partly_refunded(&next(&bought))).await;
    let rows = office.settled(&bought.order_id, "SENT", 4).await;
    assert_eq!(texts(&rows)[1].attempts, 2);
    // Another order's message to the same number is another message.
    let other = order(ada_id);
    office.tell(&shipped(&other)).await;
    office.settled(&other.order_id, "SENT", 2).await;
    assert_eq!((server.taken().len(), server.sent(), server.asked()), (3, 3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_waited_for_and_holds_up_no_email() {
    let server = SmsServer::start().await;
    let faults = [(401, 20_003), (429, 20_429), (503, 0), (302, 0), (404, 20_404)];
    server.answer(move |before, _| {
        faults
            .get(before)
            .map_or(Fate::Taken, |(status, code)| Fate::Refused(*status, *code))
    });
    let office = office(&server).await;
    let (ada_id, _) = customer(&office, PHONE, &["order_confirmed", "order_shipped"]).await;
    let bought = order(ada_id);
    office.tell(&confirmed(&bought)).await;
    office.tell(&shipped(&next(&bought))).await;
    let rows = office.settled(&bought.order_id, "SENT", 4).await;
    let by_sms = texts(&rows);
    assert_eq!((by_sms[0].attempts, by_sms[0].refusals), (6, 0));
    assert_eq!(by_sms[1].attempts, 1, "held back by the first");
    let bodies: Vec<String> = server.taken().into_iter().map(|taken| taken.body).collect();
    assert!(
        bodies[0].contains("is confirmed") && bodies[1].contains("on its way"),
        "{bodies:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_refuses_is_given_up_and_says_nothing_of_the_number() {
    let server = SmsServer::start().await;
    server.answer(|_, to| match to {
        "+4300000000" => Fate::Refused(400, 21_211),
        _ => Fate::Refused(500, 20_500),
    });
    let office = office(&server).await;
    let (bad_id, _) = customer(&office, "+4300000000", &["order_shipped"]).await;
    let (full_id, _) = customer(&office, PHONE, &["order_shipped"]).await;
    let (bad, full) = (order(bad_id), order(full_id));
    office.tell(&shipped(&bad)).await;
    office.tell(&shipped(&full)).await;
    let row = text(&office, &bad.order_id, "FAILED").await;
    assert_eq!((row.attempts, row.refusals), (1, 1));
    assert_eq!(
        row.last_error.as_deref(),
        Some("the SMS provider answered 400 (error 21211)")
    );
    let row = text(&office, &full.order_id, "FAILED").await;
    assert_eq!((row.attempts, row.refusals), (3, 3));
    assert!(server.taken().is_empty());
    for bought in [&bad, &full] {
        let rows = office.rows(&bought.order_id).await;
        assert_eq!(rows.iter().filter(|row| row.channel == "email").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_taken_where_it_can_be_written_to() {
    let server = SmsServer::start().await;
    let office = office(&server).await;
    let (_, ada) = customer(&office, PHONE, &[]).await;
    for bad in [
        json!({"phone": "015112345678"}),
        json!({"phone": "+49 1511 2345678"}),
        // Of a country that the shop does not write to.
        json!({"phone": "+12025550123"}),
        json!({"items": by_sms(&["order_shipped"])}),
        json!({"phone": PHONE, "items": by_sms(&["order_shipped", "order_shipped"])}),
    ] {
        ada.put(PATH, &bad).await.expect_problem(400, "VALIDATION_ERROR");
    }
    assert_eq!(ada.get(PATH).await.expect(200).json["phone"], PHONE);

    let without = Office::open().await;
    let (_, token) = without.env.keys.new_user("notification", &[Role::Customer]);
    let bob = without.api.with_token(token);
    for bad in [
        json!({"phone": PHONE}),
        json!({"items": by_sms(&["order_shipped"])}),
    ] {
        bob.put(PATH, &bad).await.expect_problem(422, "SMS_UNAVAILABLE");
    }
    assert_eq!(
        bob.get(PATH).await.expect(200).json["items"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}
