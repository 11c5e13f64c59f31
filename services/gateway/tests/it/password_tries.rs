//! Guessing at passwords: how often, and whom it keeps out.

use ferrocart_gateway::Settings;
use ferrocart_test_kit::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, access, fresh, link_token, refresh};

const BURST: usize = 4;

async fn strict(change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.identity.password_tries_burst = 4;
        // None comes back while a test runs.
        settings.identity.password_try_seconds = 100_000;
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        change(settings);
    })
    .await
}

async fn log_in(world: &World, from: &str, body: &Value) -> Answer {
    world
        .api
        .send(
            Method::POST,
            "/v1/auth/token",
            Some(body),
            &[("x-forwarded-for", from)],
        )
        .await
}

/// An address that no other test uses.
fn somewhere() -> String {
    let id = fresh().as_u128();
    format!("2001:db8:{:x}:{:x}::1", id >> 16 & 0xffff, id & 0xffff)
}

/// From another address each time.
async fn guess(world: &World, email: &str) -> Answer {
    let body = json!({"email": email, "password": "a guess of mine"});
    log_in(world, &somewhere(), &body).await
}

async fn guess_until_it_is_enough(world: &World, email: &str) {
    for _ in 0..BURST {
        guess(world, email)
            .await
            .expect_problem(401, "INVALID_CREDENTIALS");
    }
    guess(world, email).await.expect_problem(429, "RATE_LIMITED");
}

fn right(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD})
}

async fn guesses_end(change: impl FnOnce(&mut Settings)) {
    let world = strict(change).await;
    let (_, email) = world.register().await;
    let nobody = format!("{}@example.com", fresh().simple());
    let mut answers = Vec::new();
    for whose in [&email, &nobody] {
        let crowd = futures::future::join_all((0..3 * BURST).map(|_| guess(&world, whose))).await;
        let refused = crowd
            .iter()
            .filter(|answer| answer.status.as_u16() == 401)
            .count();
        assert_eq!(refused, BURST, "{crowd:?}");
        answers.push(guess(&world, whose).await.expect_problem(429, "RATE_LIMITED"));
    }
    for member in ["code", "detail", "title", "retryable"] {
        assert_eq!(
            answers[0].json[member], answers[1].json[member],
            "{member} tells who has an account"
        );
    }
    for answer in &answers {
        assert!(answer.headers.contains_key("retry-after"));
    }
    // Also who has guessed right is not let in, and two spellings are one account.
    let refused = log_in(&world, &somewhere(), &right(&email.to_uppercase())).await;
    refused.expect_problem(429, "RATE_LIMITED");
    let (_, other) = world.register().await;
    log_in(&world, &somewhere(), &right(&other)).await.expect(200);
}

#[tokio::test]
async fn guesses_at_an_account_end_wherever_they_come_from_whether_it_exists_or_not() {
    guesses_end(|_| {}).await;
}

#[tokio::test]
async fn guesses_end_also_while_redis_is_away() {
    guesses_end(|settings| settings.redis.redis_url = "redis://127.0.0.1:1/0".to_owned()).await;
}

#[tokio::test]
async fn whoever_was_logged_in_before_gets_in_while_strangers_guess() {
    let world = strict(|_| {}).await;
    let (_, email) = world.register().await;
    let home = somewhere();
    let first = log_in(&world, &home, &right(&email)).await.expect(200).json;
    guess_until_it_is_enough(&world, &email).await;
    // At the same address.
    log_in(&world, &home, &right(&email)).await.expect(200);
    // With the same device elsewhere, though its login is over.
    let last = json!({"refresh_token": refresh(&first)});
    world.api.post("/v1/auth/logout", &last).await.expect(204);
    let mut with_device = right(&email);
    with_device["refresh_token"] = json!(refresh(&first));
    log_in(&world, &somewhere(), &with_device).await.expect(200);
    // Strangers stay out, also with what is no token of this account.
    let (_, mine) = world.register().await;
    let of_another = log_in(&world, &somewhere(), &right(&mine)).await.expect(200).json;
    for token in [refresh(&of_another), "frt_unknown".to_owned()] {
        let mut body = right(&email);
        body["refresh_token"] = json!(token);
        log_in(&world, &somewhere(), &body)
            .await
            .expect_problem(429, "RATE_LIMITED");
    }
    // Who has the device or is at the address guesses no more often than a stranger.
    with_device["password"] = json!("a guess of mine");
    for _ in 0..BURST {
        log_in(&world, &somewhere(), &with_device)
            .await
            .expect_problem(401, "INVALID_CREDENTIALS");
    }
    log_in(&world, &somewhere(), &with_device)
        .await
        .expect_problem(429, "RATE_LIMITED");
    log_in(&world, &home, &right(&email)).await.expect(200);
}

#[tokio::test]
async fn a_stolen_refresh_token_is_no_known_device() {
    let world = strict(|_| {}).await;
    let (_, email) = world.register().await;
    let first = log_in(&world, &somewhere(), &right(&email))
        .await
        .expect(200)
        .json;
    let body = json!({"refresh_token": refresh(&first)});
    world.api.post("/v1/auth/refresh", &body).await.expect(200);
    world
        .api
        .post("/v1/auth/refresh", &body)
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
    guess_until_it_is_enough(&world, &email).await;
    let mut body = right(&email);
    body["refresh_token"] = json!(refresh(&first));
    log_in(&world, &somewhere(), &body)
        .await
        .expect_problem(429, "RATE_LIMITED");
}

#[tokio::test]
async fn right_passwords_are_never_too_many() {
    let world = strict(|_| {}).await;
    let (_, email) = world.register().await;
    for _ in 0..3 * BURST {
        log_in(&world, &somewhere(), &right(&email)).await.expect(200);
    }
    guess_until_it_is_enough(&world, &email).await;
}

#[tokio::test]
async fn a_borrowed_token_finds_no_password() {
    let world = strict(|_| {}).await;
    let (user_id, email) = world.register().await;
    let owner = world
        .api
        .with_token(access(&world.log_in(&email, PASSWORD).await));
    let path = format!("/v1/users/{user_id}");
    let change = async |current: &str| {
        let body = json!({"password": "the thief's own", "current_password": current});
        owner.send(Method::PATCH, &path, Some(&body), &[]).await
    };
    for _ in 0..BURST {
        change("a guess of mine")
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    change(PASSWORD).await.expect_problem(429, "RATE_LIMITED");
    // That is no way to lock the owner out.
    log_in(&world, &somewhere(), &right(&email)).await.expect(200);
    // And a forgotten password is set anew all the same.
    world
        .api
        .post("/v1/auth/password-reset", json!({"email": email}))
        .await
        .expect(202);
    let mail = world.mails(&email, 1).await.remove(0);
    let body = json!({"token": link_token(&mail), "password": "a new one of hers"});
    world
        .api
        .post("/v1/auth/password-reset/confirm", body)
        .await
        .expect(204);
}
