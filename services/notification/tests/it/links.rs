//! One-time links, mailed for the gateway.

use ferrocart_http_kit::Role;
use ferrocart_notification::MailTransport;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::reader::Email;
use crate::support::Office;

const PATH: &str = "/internal/v1/links";
const LINK: &str = "https://shop.example.com/new-password#token=prt_0a-B_9";

fn wish(customer: Uuid, id: &str) -> Value {
    json!({"message_id": id, "customer_id": customer, "email": "ada@example.com", "purpose": "password_reset",
        "link": LINK, "minutes": 30})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_mailed_in_its_reader_s_language_and_kept_nowhere() {
    let office = Office::open().await;
    let (ada_id, ada) = office.env.keys.new_user("notification", &[Role::Customer]);
    let ada = office.api.with_token(ada);
    let gateway = office
        .api
        .with_token(office.env.keys.service_token("gateway", "notification"));
    let english = "01a1f0c4-0000-7000-8000-000000000001";
    let german = "01a1f0c4-0000-7000-8000-000000000002";
    gateway
        .post(PATH, wish(ada_id.as_uuid(), english))
        .await
        .expect(204);
    ada.put("/v1/notifications/preferences", json!({"locale": "de"}))
        .await
        .expect(200);
    gateway
        .post(PATH, wish(ada_id.as_uuid(), german))
        .await
        .expect(204);
    for (id, language, words) in [
        (english, "en", "A new password"),
        (german, "de", "Ein neues Passwort"),
    ] {
        let raw = std::fs::read(office.mail_dir().join(format!("{id}.eml"))).unwrap();
        let email = Email::parse(&raw);
        assert_eq!(email.header("content-language"), language);
        assert_eq!(email.header("to"), "ada@example.com");
        assert!(email.header("subject").contains(words));
        for body in [email.text(), email.html()] {
            assert!(body.contains("30 "), "{body}");
        }
        assert!(email.text().contains(LINK), "{}", email.text());
        let href = LINK.replace('/', "&#x2f;");
        assert!(
            email.html().contains(&format!("href=\"{href}\"")),
            "{}",
            email.html()
        );
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM notifications")
        .fetch_one(&office.pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    ada.post(PATH, wish(ada_id.as_uuid(), english))
        .await
        .expect_problem(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_mailed_now_is_the_gateways_to_try_again() {
    let office = Office::open_with(|settings| {
        settings.mail_transport = MailTransport::Smtp;
        settings.smtp_url = "smtp://127.0.0.1:1".to_owned().into();
    })
    .await;
    let gateway = office
        .api
        .with_token(office.env.keys.service_token("gateway", "notification"));
    gateway
        .post(PATH, wish(Uuid::nil(), "01a1f0c4-0000-7000-8000-000000000003"))
        .await
        .expect_problem(503, "DEPENDENCY_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_addresses_of_a_change_are_written_to() {
    let office = Office::open().await;
    let gateway = office
        .api
        .with_token(office.env.keys.service_token("gateway", "notification"));
    let (ada_id, ada) = office.env.keys.new_user("notification", &[Role::Customer]);
    let mut number = 0x10;
    for locale in ["en", "de"] {
        office
            .api
            .with_token(&ada)
            .put("/v1/notifications/preferences", json!({"locale": locale}))
            .await
            .expect(200);
        for (purpose, minutes, life) in [("email_change", 60, "60 "), ("email_restore", 4_320, "72 ")] {
            number += 1;
            let id = format!("01a1f0c4-0000-7000-8000-0000000000{number:x}");
            let mut wish = wish(ada_id.as_uuid(), &id);
            wish["purpose"] = json!(purpose);
            wish["minutes"] = json!(minutes);
            gateway.post(PATH, wish).await.expect(204);
            let raw = std::fs::read(office.mail_dir().join(format!("{id}.eml"))).unwrap();
            let email = Email::parse(&raw);
            assert_eq!(email.header("content-language"), locale);
            for body in [email.text(), email.html()] {
                assert!(body.contains(life), "{purpose}: {body}");
            }
            assert!(email.text().contains(LINK), "{}", email.text());
        }
    }
}
