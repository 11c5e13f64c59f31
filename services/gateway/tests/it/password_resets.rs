//! A new password by a mailed link.

use chrono::TimeDelta;
use ferrocart_test_kit::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::upstream::Fault;
use crate::world::{PASSWORD, World, access, fresh, link_token, refresh};

const ASK: &str = "/v1/auth/password-reset";
const CONFIRM: &str = "/v1/auth/password-reset/confirm";
const NEW: &str = "another horse battery";

async fn ask(world: &World, email: &str) {
    let answer = world.api.post(ASK, json!({"email": email})).await.expect(202);
    assert_eq!(answer.text, "");
}

fn body(mail: &Value, password: &str) -> Value {
    assert_eq!(mail["purpose"], "password_reset");
    let link = mail["link"].as_str().unwrap();
    assert!(
        link.starts_with("http://localhost:3000/password-reset#token="),
        "{link}"
    );
    json!({"token": link_token(mail), "password": password})
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_once_and_all_logins_end() {
    let world = World::new().await;
    let (user_id, email) = world.register().await;
    let (_, other) = world.register().await;
    let old = world.log_in(&email, PASSWORD).await;
    let others = world.log_in(&other, PASSWORD).await;
    // Two spellings of one address are one account.
    ask(&world, &email.to_uppercase()).await;
    let mail = world.mails(&email, 1).await.remove(0);
    assert_eq!(mail["customer_id"], user_id.as_str());
    assert_eq!(mail["minutes"], 30);
    let wish = body(&mail, NEW);
    world
        .api
        .post(CONFIRM, body(&mail, "short"))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    world.api.post(CONFIRM, &wish).await.expect(204);
    let login = json!({"email": email, "password": PASSWORD});
    world
        .api
        .post("/v1/auth/token", login)
        .await
        .expect_problem(401, "INVALID_CREDENTIALS");
    world.log_in(&email, NEW).await;
    let renew = async |tokens: &Value| {
        let body = json!({"refresh_token": refresh(tokens)});
        world.api.post("/v1/auth/refresh", body).await
    };
    renew(&old).await.expect_problem(401, "INVALID_REFRESH_TOKEN");
    renew(&others).await.expect(200);
    world
        .api
        .post(CONFIRM, &wish)
        .await
        .expect_problem(400, "INVALID_LINK");
    world.log_in(&email, NEW).await;
}

#[tokio::test]
async fn asking_tells_nothing_and_writes_only_to_accounts_and_not_too_often() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    let nobody = format!("{}@example.com", fresh().simple());
    ask(&world, &nobody).await;
    futures::future::join_all((0..8).map(|_| ask(&world, &email))).await;
    world.mails(&email, 3).await;
    let (_, last) = world.register().await;
    ask(&world, &last).await;
    world.mails(&last, 1).await;
    let written = world.upstream.mails();
    assert_eq!(written.len(), 4, "{written:?}");
    // In the next hour again.
    world.clock.advance(TimeDelta::minutes(61));
    ask(&world, &email).await;
    world.mails(&email, 4).await;
    world
        .api
        .post(ASK, json!({"email": "no address"}))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn links_end_with_time_with_another_one_s_use_and_with_what_they_stood_for() {
    let world = World::new().await;
    let wish = async |email: &str, count: usize| {
        ask(&world, email).await;
        let mails = world.mails(email, count).await;
        body(mails.last().unwrap(), NEW)
    };
    let refused = async |wish: &Value, why: &str| {
        let answer = world.api.post(CONFIRM, wish).await;
        assert_eq!(answer.json["code"], "INVALID_LINK", "{why}: {}", answer.text);
    };
    let (_, slow) = world.register().await;
    let too_old = wish(&slow, 1).await;
    world.clock.advance(TimeDelta::minutes(31));
    refused(&too_old, "too old").await;

    let (_, twice) = world.register().await;
    let (first, second) = (wish(&twice, 1).await, wish(&twice, 2).await);
    world.api.post(CONFIRM, &second).await.expect(204);
    refused(&first, "another link was used").await;

    let (moved_id, moved) = world.register().await;
    let link = wish(&moved, 1).await;
    let owner = world
        .api
        .with_token(access(&world.log_in(&moved, PASSWORD).await));
    let path = format!("/v1/users/{moved_id}");
    let change = json!({"email": format!("new-{moved}"), "current_password": PASSWORD});
    owner
        .send(Method::PATCH, &path, Some(&change), &[])
        .await
        .expect(200);
    let mail = world.mails(&format!("new-{moved}"), 1).await.remove(0);
    world
        .api
        .post(
            "/v1/auth/email-change/confirm",
            json!({"token": link_token(&mail)}),
        )
        .await
        .expect(204);
    refused(&link, "the account has another address").await;

    let (changed_id, changed) = world.register().await;
    let link = wish(&changed, 1).await;
    let owner = world
        .api
        .with_token(access(&world.log_in(&changed, PASSWORD).await));
    let path = format!("/v1/users/{changed_id}");
    let change = json!({"password": NEW, "current_password": PASSWORD});
    owner
        .send(Method::PATCH, &path, Some(&change), &[])
        .await
        .expect(200);
    refused(&link, "the password was changed since").await;

    for token in ["", "prt_unknown", "' OR '1'='1"] {
        refused(&json!({"token": token, "password": NEW}), token).await;
    }
}

#[tokio::test]
async fn of_two_uses_at_once_one_sets_the_password() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    ask(&world, &email).await;
    let mail = world.mails(&email, 1).await.remove(0);
    let uses = (0..4).map(|number| body(&mail, &format!("password number {number}")));
    let uses: Vec<Value> = uses.collect();
    let answers = futures::future::join_all(uses.iter().map(|wish| world.api.post(CONFIRM, wish))).await;
    let won: Vec<usize> = (0..4).filter(|n| answers[*n].status.as_u16() == 204).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    world.log_in(&email, &format!("password number {}", won[0])).await;
}

#[tokio::test]
async fn a_link_waits_for_a_mail_service_that_is_away() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    world.upstream.set_fault(Some(Fault::Unable));
    let before = world.upstream.hits();
    ask(&world, &email).await;
    eventually("a try", || async {
        (world.upstream.hits() > before).then_some(())
    })
    .await;
    world.upstream.set_fault(None);
    world.clock.advance(TimeDelta::seconds(31));
    let mail = world.mails(&email, 1).await.remove(0);
    world.api.post(CONFIRM, body(&mail, NEW)).await.expect(204);
}
