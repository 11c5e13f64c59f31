use std::time::Duration;

use ferrocart_gateway::{Limit, Settings};
use ferrocart_test_kit::Answer;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, access, fresh};

/// A token a second: little flows in while a test runs.
fn burst(burst: u32) -> Limit {
    Limit { per_second: 1, burst }
}

fn statuses(answers: &[Answer]) -> (usize, usize) {
    let count = |status: u16| {
        answers
            .iter()
            .filter(|answer| answer.status.as_u16() == status)
            .count()
    };
    (count(202), count(429))
}

/// Exactly the burst passes, however many come at once; a second passes a token a second.
async fn the_burst_passes_exactly(change: impl FnOnce(&mut Settings)) {
    let world = World::with(|settings| {
        settings.limits.user = burst(30);
        change(settings);
    })
    .await;
    let ada = world.customer().await;
    let started = std::time::Instant::now();
    let answers = join_all((0..60).map(|_| ada.get("/v1/orders"))).await;
    let flowed_in = usize::try_from(started.elapsed().as_secs()).unwrap();
    let (passed, limited) = statuses(&answers);
    assert!((30..=30 + flowed_in).contains(&passed), "{passed} passed");
    assert_eq!(passed + limited, 60);
    let refused = answers
        .into_iter()
        .find(|answer| answer.status.as_u16() == 429)
        .unwrap();
    let refused = refused.expect_problem(429, "RATE_LIMITED");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json["retryable"], true);
    let policy = refused.headers["ratelimit-policy"].to_str().unwrap();
    assert!(policy.contains("\"user\";q=30;w=30"), "{policy}");
    let state = refused.headers["ratelimit"].to_str().unwrap();
    assert!(state.starts_with("\"user\";r=0;t="), "{state}");

    // Another user is not concerned.
    world.customer().await.get("/v1/orders").await.expect(202);
    // A token comes back in time.
    let waited = ferrocart_test_kit::eventually("a token", || async {
        let answer = ada.get("/v1/orders").await;
        (answer.status.as_u16() == 202).then_some(())
    });
    tokio::time::timeout(Duration::from_secs(5), waited)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_burst_passes_exactly_through_redis() {
    the_burst_passes_exactly(|_| {}).await;
}

#[tokio::test]
async fn the_burst_passes_exactly_while_redis_is_away() {
    the_burst_passes_exactly(|settings| {
        settings.redis.redis_url = "redis://127.0.0.1:1/0".to_owned();
        settings.redis.redis_timeout_ms = 50;
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_little() {
    // Accepts connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let world = World::with(|settings| {
        settings.redis.redis_url = format!("redis://127.0.0.1:{port}/0");
        settings.redis.redis_timeout_ms = 50;
    })
    .await;
    let started = std::time::Instant::now();
    for _ in 0..50 {
        world.api.get("/v1/products").await.expect(202);
    }
    // Every request waiting for Redis would take 2.5 s.
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn two_gateways_share_the_buckets() {
    let proxied = |settings: &mut Settings| {
        settings.limits.address = burst(10);
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    };
    let first = World::with(proxied).await;
    let redis = first.env.redis.clone();
    let second = World::with(|settings| {
        proxied(settings);
        settings.redis = redis;
    })
    .await;
    let address = own_address();
    let headers = [("x-forwarded-for", address.as_str())];
    let started = std::time::Instant::now();
    let answers = join_all((0..40).map(|turn| {
        let world = if turn % 2 == 0 { &first } else { &second };
        world
            .api
            .send(Method::GET, "/v1/products", None::<&Value>, &headers)
    }))
    .await;
    let flowed_in = usize::try_from(started.elapsed().as_secs()).unwrap();
    let (passed, _) = statuses(&answers);
    assert!((10..=10 + flowed_in).contains(&passed), "{passed} passed");
}

/// An address that no other test uses: tests share the buckets of their Redis.
fn own_address() -> String {
    let id = fresh().as_u128();
    format!("2001:db8:{:x}:{:x}::1", id >> 16 & 0xffff, id & 0xffff)
}

#[tokio::test]
async fn addresses_are_limited_by_what_a_trusted_proxy_says() {
    let world = World::with(|settings| {
        settings.limits.address = burst(5);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ask = async |address: &str| {
        world
            .api
            .send(
                Method::GET,
                "/v1/products",
                None::<&Value>,
                &[("x-forwarded-for", address)],
            )
            .await
    };
    let (one, other) = (own_address(), own_address());
    let mut passed = 0;
    for _ in 0..12 {
        passed += usize::from(ask(&one).await.status.as_u16() == 202);
    }
    assert!((5..=7).contains(&passed), "{passed}");
    ask(&other).await.expect(202);
    // What the client itself wrote in front changes nothing.
    ask(&format!("6.6.6.6, {one}")).await.expect(429);
}

#[tokio::test]
async fn refusals_cost_tokens_too() {
    let world = World::with(|settings| {
        settings.limits.address = burst(5);
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let address = own_address();
    let mut seen = Vec::new();
    for path in [
        "/v1/orders",
        "/nowhere",
        "/v1/products",
        "/v1/orders",
        "/nowhere",
        "/v1/products",
        "/nowhere",
    ] {
        let headers = [
            ("x-forwarded-for", address.as_str()),
            ("authorization", "Bearer x"),
        ];
        let answer = world.api.send(Method::GET, path, None::<&Value>, &headers).await;
        seen.push(answer.status.as_u16());
    }
    assert_eq!(seen.last(), Some(&429), "{seen:?}");
}

#[tokio::test]
async fn an_answer_says_how_the_limits_stand() {
    let world = World::with(|settings| {
        settings.limits.user = burst(50);
        settings.limits.checkout = burst(3);
    })
    .await;
    let guest = world.api.with_token(access(&world.guest().await));
    let answer = guest.post("/v1/checkout", json!({})).await.expect(202);
    let state = answer.headers["ratelimit"].to_str().unwrap();
    assert!(state.starts_with("\"checkout\";r=2;t="), "{state}");
    let policy = answer.headers["ratelimit-policy"].to_str().unwrap();
    for name in ["global", "address", "user", "checkout"] {
        assert!(policy.contains(&format!("\"{name}\";q=")), "{policy}");
    }
}

#[tokio::test]
async fn a_call_with_a_limit_of_its_own_does_not_count_with_its_class() {
    let world = World::with(|settings| {
        settings.limits.routes = vec!["GET /v1/notifications 1/2".to_owned().try_into().unwrap()];
        settings.limits.read = burst(20);
    })
    .await;
    let ada = world.customer().await;
    let answers = join_all((0..6).map(|_| ada.get("/v1/notifications"))).await;
    let (passed, limited) = statuses(&answers);
    assert!(
        (2..=3).contains(&passed) && limited == 6 - passed,
        "{passed} passed"
    );
    let answer = ada.get("/v1/orders").await.expect(202);
    let state = answer.headers["ratelimit"].to_str().unwrap();
    assert!(state.starts_with("\"read\";r=19;"), "{state}");
}

#[tokio::test]
async fn a_call_may_be_limited_for_all_and_for_each_address_user_and_key() {
    let limit = |text: &str| text.to_owned().try_into().unwrap();
    let world = World::with(|settings| {
        settings.limits.routes = vec![
            limit("GET /v1/search 1/4 by all"),
            limit("GET /v1/orders 1/2 by user"),
            limit("GET /v1/categories 1/2 by address"),
            limit("GET /v1/notifications 1/1 by key"),
        ];
    })
    .await;
    let (ada, bob) = (world.customer().await, world.customer().await);
    let passed = async |path: &str| {
        let both = [&ada, &bob].map(|api| join_all((0..4).map(|_| api.get(path))));
        join_all(both)
            .await
            .iter()
            .map(|answers| statuses(answers).0)
            .sum::<usize>()
    };
    // One more token may flow in meanwhile.
    for (path, expected) in [
        ("/v1/search", 4..=5),
        ("/v1/orders", 4..=6),
        ("/v1/categories", 2..=3),
        ("/v1/notifications", 8..=8),
    ] {
        let passed = passed(path).await;
        assert!(expected.contains(&passed), "{path}: {passed} of 8 passed");
    }
    let answer = ada.get("/v1/search").await;
    let policies = answer.headers["ratelimit-policy"].to_str().unwrap();
    assert!(
        policies.contains("\"route-all\";q=4;w=4") && policies.contains("\"read\""),
        "{policies}"
    );
}

#[tokio::test]
async fn a_limit_for_a_call_that_does_not_exist_is_no_setting() {
    let mut settings: Settings = ferrocart_config::load_from(
        <ferrocart_gateway::Gateway as ferrocart_http_kit::ServiceMain>::DEFAULTS,
        |_| None,
    )
    .unwrap();
    settings.validate().unwrap();
    settings.limits.routes = vec!["GET /v1/nowhere 5/5".to_owned().try_into().unwrap()];
    assert!(
        settings
            .validate()
            .unwrap_err()
            .to_string()
            .contains("/v1/nowhere")
    );
}

/// Five a second for each user and SKU while the SKU is in a flash sale, as shipped.
async fn flash_sale_skus_are_limited(change: impl FnOnce(&mut Settings)) {
    let world = World::with(|settings| {
        settings.limits.flash_sale = burst(5);
        settings.flash_sales_refresh_ms = 50;
        change(settings);
    })
    .await;
    let (hot, cold) = (fresh(), fresh());
    let (ada, bob) = (world.customer().await, world.customer().await);
    let line = |sku| json!({"sku_id": sku, "quantity": 1});
    for _ in 0..8 {
        ada.post("/v1/cart/items", line(hot)).await.expect(202);
    }
    world.upstream.set_sales(&[hot]);
    ferrocart_test_kit::eventually("the sale to be known", || async {
        let answer = bob.post("/v1/cart/items", line(hot)).await;
        (answer.status.as_u16() == 429).then_some(())
    })
    .await;
    let answers = join_all((0..12).map(|_| ada.post("/v1/cart/items", line(hot)))).await;
    let (passed, limited) = statuses(&answers);
    assert!(
        (5..=7).contains(&passed) && limited == 12 - passed,
        "{passed} passed"
    );
    let seen = answers
        .iter()
        .find(|answer| answer.status.as_u16() == 202)
        .unwrap();
    assert_eq!(seen.json["body"], line(hot).to_string(), "the body went on whole");
    assert!(
        seen.headers["ratelimit-policy"]
            .to_str()
            .unwrap()
            .contains("\"flash-sale\";q=5")
    );
    // Setting the quantity is another way in.
    let path = format!("/v1/cart/items/{hot}");
    let mut last = 0;
    for _ in 0..3 {
        last = ada.put(&path, json!({"quantity": 2})).await.status.as_u16();
    }
    assert_eq!(last, 429);
    for _ in 0..8 {
        ada.post("/v1/cart/items", line(cold)).await.expect(202);
    }
    // What is no JSON is the cart's to judge.
    ada.post("/v1/cart/items", json!([1])).await.expect(202);
}

#[tokio::test]
async fn flash_sale_skus_are_limited_through_redis() {
    flash_sale_skus_are_limited(|_| {}).await;
}

#[tokio::test]
async fn flash_sale_skus_are_limited_while_redis_is_away() {
    flash_sale_skus_are_limited(|settings| settings.redis.redis_url = "redis://127.0.0.1:1/0".to_owned())
        .await;
}
