//! Another e-mail address by a mailed link.

use chrono::TimeDelta;
use ferrocart_test_kit::{Answer, Api};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, access, fresh, link_token, refresh};

const CONFIRM: &str = "/v1/auth/email-change/confirm";

/// An account, and a login of it.
struct Account {
    id: String,
    email: String,
    api: Api,
    tokens: Value,
}

impl Account {
    async fn new(world: &World) -> Self {
        let (id, email) = world.register().await;
        let tokens = world.log_in(&email, PASSWORD).await;
        let api = world.api.with_token(access(&tokens));
        Self {
            id,
            email,
            api,
            tokens,
        }
    }

    async fn patch(&self, change: Value) -> Answer {
        let path = format!("/v1/users/{}", self.id);
        self.api.send(Method::PATCH, &path, Some(&change), &[]).await
    }

    async fn ask(&self, email: &str) -> Answer {
        self.patch(json!({"email": email, "current_password": PASSWORD}))
            .await
    }

    /// Asks, and follows the link.
    async fn move_to(&self, world: &World, email: &str) {
        self.ask(email).await.expect(200);
        let mail = world.mails(email, 1).await.remove(0);
        confirm(world, &mail).await.expect(204);
    }

    async fn address(&self, world: &World) -> String {
        let path = format!("/v1/users/{}", self.id);
        let profile = world.admin().await.get(&path).await.expect(200).json;
        profile["email"].as_str().unwrap().to_owned()
    }
}

fn fresh_address() -> String {
    format!("{}@example.com", fresh().simple())
}

async fn confirm(world: &World, mail: &Value) -> Answer {
    world.api.post(CONFIRM, json!({"token": link_token(mail)})).await
}

async fn renew(world: &World, tokens: &Value) -> Answer {
    let body = json!({"refresh_token": refresh(tokens)});
    world.api.post("/v1/auth/refresh", body).await
}

#[tokio::test]
async fn an_address_is_the_accounts_once_its_link_is_followed_and_the_former_one_is_told() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    let elsewhere = world.log_in(&ada.email, PASSWORD).await;
    let new = fresh_address();
    let asked =
        ada.patch(json!({"email": new.to_uppercase(), "name": "Countess", "current_password": PASSWORD}));
    let asked = asked.await.expect(200).json;
    assert_eq!(asked["email"], ada.email.as_str());
    assert_eq!(asked["pending_email"], new.as_str());
    assert_eq!(asked["name"], "Countess");
    let mail = world.mails(&new, 1).await.remove(0);
    assert_eq!(
        (&mail["purpose"], &mail["minutes"]),
        (&json!("email_change"), &json!(60))
    );
    assert!(
        mail["link"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost:3000/email-change#token=")
    );
    assert_eq!(ada.address(&world).await, ada.email);

    confirm(&world, &mail).await.expect(204);
    world.log_in(&new, PASSWORD).await;
    let login = json!({"email": ada.email, "password": PASSWORD});
    let refused = world.api.post("/v1/auth/token", login).await;
    refused.expect_problem(401, "INVALID_CREDENTIALS");
    let told = world.mails(&ada.email, 1).await.remove(0);
    assert_eq!(
        (&told["purpose"], &told["minutes"]),
        (&json!("email_restore"), &json!(72 * 60))
    );
    assert!(
        !told.to_string().contains(&new),
        "where an account went is not told"
    );
    // The login from which it was asked for goes on.
    renew(&world, &ada.tokens).await.expect(200);
    renew(&world, &elsewhere)
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
    confirm(&world, &mail).await.expect_problem(400, "INVALID_LINK");
}

#[tokio::test]
async fn a_former_address_takes_the_account_back_whatever_was_done_meanwhile() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    let (second, third) = (fresh_address(), fresh_address());
    ada.move_to(&world, &second).await;
    world.clock.advance(TimeDelta::minutes(1));
    ada.move_to(&world, &third).await;
    let path = format!("/v1/users/{}", ada.id);
    // Nobody else gets the address meanwhile.
    let taken = json!({"email": ada.email, "password": PASSWORD, "name": "Eve"});
    world
        .api
        .post("/v1/users", taken)
        .await
        .expect_problem(409, "EMAIL_TAKEN");
    let eve = Account::new(&world).await;
    eve.ask(&ada.email).await.expect_problem(409, "EMAIL_TAKEN");
    // Neither a new password nor a later address's link ends the first one's.
    let thief = world
        .api
        .with_token(access(&world.log_in(&third, PASSWORD).await));
    let change = json!({"password": "the thief's own", "current_password": PASSWORD});
    thief
        .send(Method::PATCH, &path, Some(&change), &[])
        .await
        .expect(200);
    let thiefs_login = world.log_in(&third, "the thief's own").await;
    let back_to_second = world.mails(&second, 2).await.remove(1);
    assert_eq!(back_to_second["purpose"], "email_restore");
    confirm(&world, &back_to_second).await.expect(204);
    assert_eq!(ada.address(&world).await, second);

    let back = world.mails(&ada.email, 1).await.remove(0);
    confirm(&world, &back).await.expect(204);
    assert_eq!(ada.address(&world).await, ada.email);
    for tokens in [&ada.tokens, &thiefs_login] {
        renew(&world, tokens)
            .await
            .expect_problem(401, "INVALID_REFRESH_TOKEN");
    }
    for password in [PASSWORD, "the thief's own"] {
        let login = json!({"email": ada.email, "password": password});
        let refused = world.api.post("/v1/auth/token", login).await;
        refused.expect_problem(401, "INVALID_CREDENTIALS");
    }
    // With the address its owner sets a new password.
    world
        .api
        .post("/v1/auth/password-reset", json!({"email": ada.email}))
        .await
        .expect(202);
    let reset = world.mails(&ada.email, 2).await.remove(1);
    let body = json!({"token": link_token(&reset), "password": "a new one of hers"});
    world
        .api
        .post("/v1/auth/password-reset/confirm", body)
        .await
        .expect(204);
    world.log_in(&ada.email, "a new one of hers").await;
}

#[tokio::test]
async fn the_way_back_from_the_first_address_ends_those_from_later_ones() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    let (second, third) = (fresh_address(), fresh_address());
    ada.move_to(&world, &second).await;
    world.clock.advance(TimeDelta::minutes(1));
    ada.move_to(&world, &third).await;
    let back_to_second = world.mails(&second, 2).await.remove(1);
    let back = world.mails(&ada.email, 1).await.remove(0);
    confirm(&world, &back).await.expect(204);
    confirm(&world, &back_to_second)
        .await
        .expect_problem(400, "INVALID_LINK");
    confirm(&world, &back).await.expect_problem(400, "INVALID_LINK");
}

#[tokio::test]
async fn taken_addresses_old_links_and_too_many_of_them_are_refused() {
    let world = World::new().await;
    let (ada, eve) = (Account::new(&world).await, Account::new(&world).await);
    ada.ask(&eve.email).await.expect_problem(409, "EMAIL_TAKEN");
    let wrong = json!({"email": fresh_address(), "current_password": "wrong"});
    ada.patch(wrong).await.expect_problem(400, "VALIDATION_ERROR");

    let new = fresh_address();
    ada.ask(&new).await.expect(200);
    let mail = world.mails(&new, 1).await.remove(0);
    let account = json!({"email": new, "password": PASSWORD, "name": "Quick"});
    world.api.post("/v1/users", account).await.expect(201);
    confirm(&world, &mail).await.expect_problem(409, "EMAIL_TAKEN");

    let late = fresh_address();
    ada.ask(&late).await.expect(200);
    let mail = world.mails(&late, 1).await.remove(0);
    world.clock.advance(TimeDelta::minutes(61));
    confirm(&world, &mail).await.expect_problem(400, "INVALID_LINK");
    let ada = Account {
        api: world
            .api
            .with_token(access(&world.log_in(&ada.email, PASSWORD).await)),
        ..ada
    };

    for _ in 0..3 {
        ada.ask(&fresh_address()).await.expect(200);
    }
    let refused = ada
        .ask(&fresh_address())
        .await
        .expect_problem(429, "RATE_LIMITED");
    assert!(refused.headers.contains_key("retry-after"));
    for token in ["", "prt_unknown", "' OR '1'='1"] {
        let refused = world.api.post(CONFIRM, json!({"token": token})).await;
        refused.expect_problem(400, "INVALID_LINK");
    }
}

#[tokio::test]
async fn links_of_another_kind_change_no_address_and_no_password() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    world
        .api
        .post("/v1/auth/password-reset", json!({"email": ada.email}))
        .await
        .expect(202);
    let reset = world.mails(&ada.email, 1).await.remove(0);
    confirm(&world, &reset).await.expect_problem(400, "INVALID_LINK");
    let new = fresh_address();
    ada.ask(&new).await.expect(200);
    let change = world.mails(&new, 1).await.remove(0);
    let body = json!({"token": link_token(&change), "password": "of whoever reads it"});
    let refused = world.api.post("/v1/auth/password-reset/confirm", body).await;
    refused.expect_problem(400, "INVALID_LINK");

    // Not even where the account has the address of the link again.
    confirm(&world, &change).await.expect(204);
    let back = world.mails(&ada.email, 2).await.remove(1);
    ada.ask(&ada.email).await.expect(200);
    let home = world.mails(&ada.email, 3).await.remove(2);
    confirm(&world, &home).await.expect(204);
    let body = json!({"token": link_token(&back), "password": "of whoever reads it"});
    let refused = world.api.post("/v1/auth/password-reset/confirm", body).await;
    refused.expect_problem(400, "INVALID_LINK");
}

#[tokio::test]
async fn an_administrator_sets_an_address_at_once_and_ends_all_links() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    let second = fresh_address();
    ada.move_to(&world, &second).await;
    let back = world.mails(&ada.email, 1).await.remove(0);
    let path = format!("/v1/users/{}", ada.id);
    let change = json!({"email": fresh_address()});
    let admin = world.admin().await;
    let changed = admin
        .send(Method::PATCH, &path, Some(&change), &[])
        .await
        .expect(200)
        .json;
    assert_eq!(changed["email"], change["email"]);
    assert!(changed["pending_email"].is_null());
    confirm(&world, &back).await.expect_problem(400, "INVALID_LINK");
}

#[tokio::test]
async fn of_two_uses_of_a_link_at_once_one_wins() {
    let world = World::new().await;
    let ada = Account::new(&world).await;
    let new = fresh_address();
    ada.ask(&new).await.expect(200);
    let mail = world.mails(&new, 1).await.remove(0);
    let answers = futures::future::join_all((0..4).map(|_| confirm(&world, &mail))).await;
    let won = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 204)
        .count();
    assert_eq!(won, 1, "{answers:?}");
    world.mails(&ada.email, 1).await;
}
