use chrono::TimeDelta;
use ferrocart_test_kit::{Answer, Api};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, World, access, fresh, refresh};

/// As an OAuth library sends it.
async fn form(world: &World, fields: &[(&str, &str)], basic: Option<(&str, &str)>) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}/v1/auth/token", world.port);
    let mut request = reqwest::Client::new().post(url).form(fields);
    if let Some((user, password)) = basic {
        request = request.basic_auth(user, Some(password));
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn sign_in(world: &World, id: &str, secret: &str) -> (u16, Value) {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
    ];
    form(world, &fields, None).await
}

struct Key {
    id: String,
    secret: String,
}

async fn make(owner: &Api, user_id: &str, body: Value) -> Key {
    let path = format!("/v1/users/{user_id}/api-keys");
    let made = owner.post(&path, body).await.expect(201).json;
    Key {
        id: made["key_id"].as_str().unwrap().to_owned(),
        secret: made["secret"].as_str().unwrap().to_owned(),
    }
}

async fn machine(world: &World, key: &Key) -> Api {
    let (status, answer) = sign_in(world, &key.id, &key.secret).await;
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer["refresh_token"].is_null(),
        "a machine has its key: {answer}"
    );
    world.api.with_token(access(&answer))
}

#[tokio::test]
async fn a_machine_signs_in_with_a_key_and_acts_as_its_owner() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer", "merchant"]).await;
    let owner = world.api.with_token(token);
    let body = json!({"name": "import", "scope": "write", "roles": ["merchant"]});
    let key = make(&owner, &user_id, body).await;
    let machine = machine(&world, &key).await;
    let seen = machine.post("/v1/products", json!({})).await.expect(202).json;
    assert_eq!(seen["caller"]["user_id"], user_id.as_str());
    assert_eq!(
        seen["caller"]["roles"],
        json!(["merchant"]),
        "more than the key's"
    );
    machine.get("/v1/cart").await.expect_problem(403, "FORBIDDEN");

    let basic = Some((&*key.id, &*key.secret));
    let (status, answer) = form(&world, &[("grant_type", "client_credentials")], basic).await;
    assert_eq!((status, &answer["scope"]), (200, &json!("write")), "{answer}");
    let narrow = [("grant_type", "client_credentials"), ("scope", "read")];
    let (_, answer) = form(&world, &narrow, basic).await;
    let reader = world.api.with_token(access(&answer));
    reader.get("/v1/products").await.expect(202);
    reader
        .post("/v1/products", json!({}))
        .await
        .expect_problem(403, "INSUFFICIENT_SCOPE");

    let listed = owner
        .get(&format!("/v1/users/{user_id}/api-keys"))
        .await
        .expect(200);
    assert_eq!(listed.json["items"][0]["key_id"], key.id.as_str());
    assert!(!listed.text.contains("fsk_"), "a secret was shown again");
}

#[tokio::test]
async fn a_key_that_may_only_read_changes_nothing() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["merchant"]).await;
    let owner = world.api.with_token(token);
    let key = make(&owner, &user_id, json!({"name": "report", "scope": "read"})).await;
    let machine = machine(&world, &key).await;
    machine.get("/v1/products").await.expect(202);
    let before = world.upstream.hits();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let path = match method {
            Method::POST => "/v1/products".to_owned(),
            _ => format!("/v1/products/{}", fresh()),
        };
        let answer = machine.send(method, &path, Some(&json!({})), &[]).await;
        answer.expect_problem(403, "INSUFFICIENT_SCOPE");
    }
    assert_eq!(world.upstream.hits(), before, "one was passed on");
    let basic = Some((&*key.id, &*key.secret));
    let wide = [("grant_type", "client_credentials"), ("scope", "write")];
    let (status, answer) = form(&world, &wide, basic).await;
    assert_eq!(
        (status, &answer["error"]),
        (400, &json!("invalid_scope")),
        "{answer}"
    );
}

#[tokio::test]
async fn keys_do_not_make_keys_nor_touch_the_account() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["admin"]).await;
    let owner = world.api.with_token(token);
    let key = make(&owner, &user_id, json!({"name": "robot", "scope": "write"})).await;
    let machine = machine(&world, &key).await;
    let path = format!("/v1/users/{user_id}");
    let keys = format!("{path}/api-keys");
    let refused: [Answer; 5] = [
        machine
            .post(&keys, json!({"name": "more", "scope": "write"}))
            .await,
        machine.get(&keys).await,
        machine.get(&path).await,
        machine
            .send(Method::PATCH, &path, Some(&json!({"name": "Eve"})), &[])
            .await,
        machine.delete(&format!("{path}/sessions")).await,
    ];
    for answer in refused {
        answer.expect_problem(403, "FORBIDDEN");
    }
    // Roles are an administrator's to give, and not a machine's.
    let roles = machine
        .put(&format!("{path}/roles"), json!({"roles": ["admin"]}))
        .await;
    roles.expect_problem(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_key_has_no_role_of_another_and_is_made_by_its_owner_alone() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer"]).await;
    let owner = world.api.with_token(token);
    let path = format!("/v1/users/{user_id}/api-keys");
    let wide = json!({"name": "x", "scope": "write", "roles": ["admin"]});
    let refused = owner.post(&path, wide).await.expect_problem(403, "FORBIDDEN");
    assert_eq!(refused.json["errors"][0]["field"], "roles");
    let body = json!({"name": "x", "scope": "write"});
    let (other, admin) = (world.customer().await, world.admin().await);
    for stranger in [&other, &admin] {
        stranger.post(&path, &body).await.expect_problem(403, "FORBIDDEN");
    }
    for bad in [
        json!({"name": "", "scope": "read"}),
        json!({"name": "x", "scope": "all"}),
        json!({"name": "x", "scope": "read", "roles": []}),
        json!({"name": "x", "scope": "read", "expires_in_days": 0}),
    ] {
        owner
            .post(&path, &bad)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    let key = make(&owner, &user_id, body).await;
    let of_key = format!("{path}/{}", key.id);
    other.delete(&of_key).await.expect_problem(403, "FORBIDDEN");
    let elsewhere = format!("{path}/{}", fresh());
    owner
        .delete(&elsewhere)
        .await
        .expect_problem(404, "KEY_NOT_FOUND");
    admin.delete(&of_key).await.expect(204);
    assert_eq!(sign_in(&world, &key.id, &key.secret).await.0, 401);
}

#[tokio::test]
async fn keys_end_by_revocation_by_time_and_with_the_role() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["merchant"]).await;
    let owner = world.api.with_token(token);
    let lasting = make(&owner, &user_id, json!({"name": "a", "scope": "write"})).await;
    let revoked = make(&owner, &user_id, json!({"name": "b", "scope": "write"})).await;
    let short = make(
        &owner,
        &user_id,
        json!({"name": "c", "scope": "write", "expires_in_days": 1}),
    )
    .await;
    let path = format!("/v1/users/{user_id}/api-keys/{}", revoked.id);
    for _ in 0..2 {
        owner.delete(&path).await.expect(204);
    }
    machine(&world, &short).await;
    world.clock.advance(TimeDelta::hours(25));
    machine(&world, &lasting).await;
    for (id, secret) in [
        (&revoked.id, &revoked.secret),
        (&short.id, &short.secret),
        (&lasting.id, &short.secret),
        (&fresh().to_string(), &lasting.secret),
        (&"no uuid".to_owned(), &lasting.secret),
        (&lasting.id, &String::new()),
    ] {
        let (status, answer) = sign_in(&world, id, secret).await;
        assert_eq!(
            (status, &answer["error"]),
            (401, &json!("invalid_client")),
            "{answer}"
        );
        assert_eq!(answer["code"], "INVALID_CLIENT");
    }
    let roles = format!("/v1/users/{user_id}/roles");
    let admin = world.admin().await;
    admin
        .put(&roles, json!({"roles": ["customer"]}))
        .await
        .expect(200);
    assert_eq!(sign_in(&world, &lasting.id, &lasting.secret).await.0, 401);
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_good_keys() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer"]).await;
    let owner = world.api.with_token(token);
    let path = format!("/v1/users/{user_id}/api-keys");
    let body = json!({"name": "x", "scope": "read"});
    let answers = futures::future::join_all((0..25).map(|_| owner.post(&path, &body))).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 20);
    owner.post(&path, &body).await.expect_problem(409, "KEY_LIMIT");
    let one = made[0].json["key_id"].as_str().unwrap();
    owner.delete(&format!("{path}/{one}")).await.expect(204);
    owner.post(&path, &body).await.expect(201);
}

#[tokio::test]
async fn the_oauth_grants_are_those_for_third_parties() {
    let world = World::new().await;
    let (_, email) = world.register().await;
    let tokens = world.log_in(&email, PASSWORD).await;
    let old = refresh(&tokens);
    let renew = [("grant_type", "refresh_token"), ("refresh_token", &*old)];
    let (status, next) = form(&world, &renew, None).await;
    assert_eq!(status, 200, "{next}");
    world
        .api
        .with_token(access(&next))
        .get("/v1/orders")
        .await
        .expect(202);
    let (status, again) = form(&world, &renew, None).await;
    assert_eq!(
        (status, &again["error"]),
        (400, &json!("invalid_grant")),
        "{again}"
    );

    let password = [
        ("grant_type", "password"),
        ("username", &*email),
        ("password", PASSWORD),
    ];
    for (fields, error) in [
        (&password[..], "unsupported_grant_type"),
        (&[("username", "x")], "invalid_request"),
        (&[("grant_type", "refresh_token")], "invalid_request"),
        (
            &[("grant_type", "refresh_token"), ("grant_type", "refresh_token")],
            "invalid_request",
        ),
    ] {
        let (status, answer) = form(&world, fields, None).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{answer}");
        assert!(answer["trace_id"].is_string());
    }
    let (status, answer) = form(&world, &[("grant_type", "client_credentials")], None).await;
    assert_eq!(
        (status, &answer["error"]),
        (401, &json!("invalid_client")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_shop_may_take_passwords_by_form_as_well() {
    let world = World::with(|settings| settings.identity.oauth_password_grant = true).await;
    let (user_id, email) = world.register().await;
    let by = |username, password| {
        [
            ("grant_type", "password"),
            ("username", username),
            ("password", password),
        ]
    };
    let (status, tokens) = form(&world, &by(&email, PASSWORD), None).await;
    assert_eq!(status, 200, "{tokens}");
    assert!(!refresh(&tokens).is_empty());
    let path = format!("/v1/users/{user_id}");
    world.api.with_token(access(&tokens)).get(&path).await.expect(200);
    let long = "x".repeat(1_000);
    for (fields, error) in [
        (&by(&email, "wrong-Passw0rd")[..], "invalid_grant"),
        (&by(&email, &long), "invalid_grant"),
        (&by("nobody", PASSWORD), "invalid_grant"),
        (&by(&email, PASSWORD)[..2], "invalid_request"),
    ] {
        let (status, answer) = form(&world, fields, None).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{answer}");
    }
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_login_and_no_one_elses() {
    let world = World::new().await;
    let (user_id, email) = world.register().await;
    let phone = world.log_in(&email, PASSWORD).await;
    let laptop = world.log_in(&email, PASSWORD).await;
    let (_, other_email) = world.register().await;
    let other = world.log_in(&other_email, PASSWORD).await;
    let path = format!("/v1/users/{user_id}/sessions");
    let stranger = world.api.with_token(access(&other));
    stranger.delete(&path).await.expect_problem(403, "FORBIDDEN");
    let owner = world.api.with_token(access(&phone));
    for _ in 0..2 {
        owner.delete(&path).await.expect(204);
    }
    for tokens in [&phone, &laptop] {
        let body = json!({"refresh_token": refresh(tokens)});
        let answer = world.api.post("/v1/auth/refresh", body).await;
        answer.expect_problem(401, "INVALID_REFRESH_TOKEN");
    }
    let body = json!({"refresh_token": refresh(&other)});
    world.api.post("/v1/auth/refresh", body).await.expect(200);
    world.log_in(&email, PASSWORD).await;
}
