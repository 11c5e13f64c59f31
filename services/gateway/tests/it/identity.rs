use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::world::{ADMIN_EMAIL, PASSWORD, World, access, refresh};

#[tokio::test]
async fn a_user_registers_logs_in_and_reads_their_profile() {
    let world = World::new().await;
    let body = json!({"email": "Ada@Example.com", "password": PASSWORD, "name": " Ada "});
    let answer = world.api.post("/v1/users", &body).await.expect(201);
    assert_eq!(answer.json["email"], "ada@example.com");
    assert_eq!(answer.json["name"], "Ada");
    assert_eq!(answer.json["roles"], json!(["customer"]));
    assert!(!answer.text.contains("argon2"), "the hash went out");
    let path = format!("/v1/users/{}", answer.json["user_id"].as_str().unwrap());
    assert_eq!(answer.headers["location"], path.as_str());

    let tokens = world.log_in("ADA@example.com", PASSWORD).await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 900);
    let ada = world.api.with_token(access(&tokens));
    let profile = ada.get(&path).await.expect(200).json;
    assert_eq!(profile["email"], "ada@example.com");

    world
        .api
        .post("/v1/users", &body)
        .await
        .expect_problem(409, "EMAIL_TAKEN");
}

#[tokio::test]
async fn bad_registrations_name_the_field() {
    let world = World::new().await;
    for (field, body) in [
        (
            "password",
            json!({"email": "a@example.com", "password": "short", "name": "A"}),
        ),
        (
            "password",
            json!({"email": "a@example.com", "password": "x".repeat(129), "name": "A"}),
        ),
        (
            "email",
            json!({"email": "nobody", "password": PASSWORD, "name": "A"}),
        ),
        (
            "name",
            json!({"email": "a@example.com", "password": PASSWORD, "name": "  "}),
        ),
        (
            "roles",
            json!({"email": "a@example.com", "password": PASSWORD, "name": "A", "roles": ["admin"]}),
        ),
        ("name", json!({"email": "a@example.com", "password": PASSWORD})),
    ] {
        let answer = world.api.post("/v1/users", &body).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
    }
}

#[tokio::test]
async fn two_registrations_of_one_address_at_once_make_one_account() {
    let world = World::new().await;
    let body = json!({"email": "twin@example.com", "password": PASSWORD, "name": "Twin"});
    let answers = join_all((0..6).map(|_| world.api.post("/v1/users", &body))).await;
    let created = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 201)
        .count();
    let taken = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 409)
        .count();
    assert_eq!((created, taken), (1, 5));
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_look_and_last_alike() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    let attempt = async |email: &str| {
        let started = Instant::now();
        let body = json!({"email": email, "password": "not the password"});
        let answer = world.api.post("/v1/auth/token", body).await;
        let answer = answer.expect_problem(401, "INVALID_CREDENTIALS");
        (started.elapsed(), answer.json["detail"].clone())
    };
    let mut wrong = Vec::new();
    let mut unknown = Vec::new();
    let mut malformed = Vec::new();
    for _ in 0..7 {
        wrong.push(attempt(&email).await);
        unknown.push(attempt("nobody@example.com").await);
        malformed.push(attempt("no address").await);
    }
    assert_eq!(wrong[0].1, unknown[0].1);
    assert_eq!(wrong[0].1, malformed[0].1);
    let median = |times: &mut Vec<(Duration, serde_json::Value)>| {
        times.sort_by_key(|time| time.0);
        times[times.len() / 2].0
    };
    let (wrong, unknown, malformed) = (median(&mut wrong), median(&mut unknown), median(&mut malformed));
    // Without the decoy it would be less than a tenth.
    assert!(unknown * 3 > wrong, "{unknown:?} against {wrong:?}");
    assert!(malformed * 3 > wrong, "{malformed:?} against {wrong:?}");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_second_use_ends_the_session() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    let first = world.log_in(&email, PASSWORD).await;
    let other_session = world.log_in(&email, PASSWORD).await;
    let renew = async |token: String| {
        let body = json!({"refresh_token": token});
        world.api.post("/v1/auth/refresh", body).await
    };
    let second = renew(refresh(&first)).await.expect(200).json;
    assert_ne!(refresh(&first), refresh(&second));
    let third = renew(refresh(&second)).await.expect(200).json;
    world
        .api
        .with_token(access(&third))
        .get("/v1/orders")
        .await
        .expect(202);

    renew(refresh(&first))
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
    renew(refresh(&third))
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
    renew(refresh(&other_session)).await.expect(200);
    renew("frt_unknown".to_owned())
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn of_two_uses_of_a_refresh_token_at_once_one_wins_at_most_and_the_session_ends() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    for _ in 0..5 {
        let tokens = world.log_in(&email, PASSWORD).await;
        let body = json!({"refresh_token": refresh(&tokens)});
        let answers = join_all((0..4).map(|_| world.api.post("/v1/auth/refresh", &body))).await;
        let won: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status.as_u16() == 200)
            .collect();
        assert_eq!(won.len(), 1);
        let body = json!({"refresh_token": refresh(&won[0].json)});
        world.api.post("/v1/auth/refresh", body).await.expect(401);
    }
}

#[tokio::test]
async fn sessions_end_in_time_and_a_refresh_prolongs_them() {
    let world = World::new().await;
    let guest = world.guest().await;
    world.clock.advance(TimeDelta::hours(23));
    let body = json!({"refresh_token": refresh(&guest)});
    let guest = world.api.post("/v1/auth/refresh", body).await.expect(200).json;
    world.clock.advance(TimeDelta::hours(23));
    let body = json!({"refresh_token": refresh(&guest)});
    let guest = world.api.post("/v1/auth/refresh", body).await.expect(200).json;
    world.clock.advance(TimeDelta::hours(25));
    let body = json!({"refresh_token": refresh(&guest)});
    world
        .api
        .post("/v1/auth/refresh", body)
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn logging_out_ends_the_session_and_is_no_error_twice() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    let tokens = world.log_in(&email, PASSWORD).await;
    let body = json!({"refresh_token": refresh(&tokens)});
    for _ in 0..2 {
        world.api.post("/v1/auth/logout", &body).await.expect(204);
    }
    world
        .api
        .post("/v1/auth/refresh", &body)
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn a_guest_stays_the_same_guest_through_a_refresh() {
    let world = World::new().await;
    let guest = world.guest().await;
    let seen = world
        .api
        .with_token(access(&guest))
        .get("/v1/cart")
        .await
        .expect(202);
    assert_eq!(seen.json["caller"]["roles"], json!(["guest"]));
    let body = json!({"refresh_token": refresh(&guest)});
    let next = world.api.post("/v1/auth/refresh", body).await.expect(200).json;
    let again = world
        .api
        .with_token(access(&next))
        .get("/v1/cart")
        .await
        .expect(202);
    assert_eq!(seen.json["caller"]["user_id"], again.json["caller"]["user_id"]);
}

#[tokio::test]
async fn profiles_are_their_owners_and_the_administrators() {
    let world = World::new().await;
    let (ada_id, ada) = world.user(&["customer"]).await;
    let (_, eve) = world.user(&["customer", "merchant", "support"]).await;
    let path = format!("/v1/users/{ada_id}");
    let (ada, eve) = (world.api.with_token(ada), world.api.with_token(eve));
    let guest = world.api.with_token(access(&world.guest().await));
    let body = json!({"name": "Eve"});
    world.api.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    for stranger in [&eve, &guest] {
        stranger.get(&path).await.expect_problem(403, "FORBIDDEN");
        let answer = stranger.send(Method::PATCH, &path, Some(&body), &[]).await;
        answer.expect_problem(403, "FORBIDDEN");
        // Whether somebody else exists is not told.
        let nobody = format!("/v1/users/{}", crate::world::fresh());
        stranger.get(&nobody).await.expect_problem(403, "FORBIDDEN");
    }
    let admin = world.admin().await;
    assert_eq!(admin.get(&path).await.expect(200).json["name"], "Ada");
    let nobody = format!("/v1/users/{}", crate::world::fresh());
    admin.get(&nobody).await.expect_problem(404, "USER_NOT_FOUND");
    ada.get("/v1/users/me")
        .await
        .expect_problem(400, "INVALID_USER_ID");

    let changed = ada
        .send(Method::PATCH, &path, Some(&json!({"name": "Countess"})), &[])
        .await;
    assert_eq!(changed.expect(200).json["name"], "Countess");
    assert_eq!(ada.get(&path).await.expect(200).json["version"], 2);
}

#[tokio::test]
async fn changing_address_or_password_takes_the_password_and_a_new_one_ends_all_sessions() {
    let world = World::new().await;
    let (user_id, email) = world.register().await;
    let tokens = world.log_in(&email, PASSWORD).await;
    let ada = world.api.with_token(access(&tokens));
    let path = format!("/v1/users/{user_id}");
    let other = format!("new-{email}");
    let put = json!({"email": other, "name": "Ada"});
    let refused = ada.put(&path, &put).await.expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(refused.json["errors"][0]["field"], "current_password");
    let wrong = json!({"password": "another horse", "current_password": "wrong"});
    let refused = ada.send(Method::PATCH, &path, Some(&wrong), &[]).await;
    refused.expect_problem(400, "VALIDATION_ERROR");

    let right = json!({"password": "another horse", "current_password": PASSWORD});
    ada.send(Method::PATCH, &path, Some(&right), &[])
        .await
        .expect(200);
    let body = json!({"refresh_token": refresh(&tokens)});
    world
        .api
        .post("/v1/auth/refresh", body)
        .await
        .expect_problem(401, "INVALID_REFRESH_TOKEN");
    world.log_in(&email, "another horse").await;
}

#[tokio::test]
async fn administrators_give_roles_and_the_next_token_has_them() {
    let world = World::new().await;
    let (user_id, email) = world.register().await;
    let path = format!("/v1/users/{user_id}/roles");
    let ada = world
        .api
        .with_token(access(&world.log_in(&email, PASSWORD).await));
    ada.put(&path, json!({"roles": ["admin"]}))
        .await
        .expect_problem(403, "FORBIDDEN");
    let admin = world.admin().await;
    for bad in [json!([]), json!(["root"]), json!(["guest"]), json!(["service"])] {
        admin
            .put(&path, json!({"roles": bad}))
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    let body = json!({"roles": ["merchant", "customer", "merchant"]});
    let user = admin.put(&path, body).await.expect(200).json;
    assert_eq!(user["roles"], json!(["customer", "merchant"]));
    let merchant = world
        .api
        .with_token(access(&world.log_in(&email, PASSWORD).await));
    let seen = merchant.post("/v1/products", json!({})).await.expect(202);
    assert_eq!(seen.json["caller"]["roles"], json!(["customer", "merchant"]));
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let world = World::new().await;
    let admin = world.admin().await;
    let body = json!({"email": ADMIN_EMAIL, "password": PASSWORD, "name": "Eve"});
    admin
        .post("/v1/users", body)
        .await
        .expect_problem(409, "EMAIL_TAKEN");
}
