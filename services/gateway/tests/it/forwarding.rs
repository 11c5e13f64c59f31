use std::net::TcpListener;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, access, fresh};

/// A port at which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_with_the_caller_named_and_the_answer_comes_back() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer"]).await;
    let body = json!({"sku_id": fresh(), "quantity": 2});
    let answer = world
        .api
        .with_token(token)
        .send(
            Method::POST,
            "/v1/cart/items?a=1&b=%20x",
            Some(&body),
            &[("idempotency-key", "k-1"), ("x-request-id", "abc-123")],
        )
        .await
        .expect(202);
    let seen = &answer.json;
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/v1/cart/items");
    assert_eq!(seen["query"], "a=1&b=%20x");
    assert_eq!(seen["body"], body.to_string());
    assert_eq!(seen["caller"]["audience"], "cart");
    assert_eq!(seen["caller"]["user_id"], user_id.as_str());
    assert!(seen["caller"]["email"].is_string());
    assert_eq!(seen["headers"]["idempotency-key"], "k-1");
    assert_eq!(seen["headers"]["x-request-id"], "abc-123");
    assert_eq!(seen["headers"]["content-type"], "application/json");
    assert_eq!(answer.headers["etag"], "\"7\"");
    assert_eq!(answer.headers["location"], "/v1/somewhere");
    assert_eq!(answer.headers["x-request-id"], "abc-123");
    assert!(answer.headers.get("keep-alive").is_none());
}

#[tokio::test]
async fn an_answer_is_packed_for_those_who_take_it_and_its_tag_is_good_all_the_same() {
    let world = World::new().await;
    let (_, token) = world.user(&["customer"]).await;
    let url = format!("http://127.0.0.1:{}/v1/cart/items", world.port);
    let text = "x".repeat(4_000);
    let ask = async |encoding: &'static str, tag: &str| {
        let request = reqwest::Client::new().post(&url).bearer_auth(&token);
        let request = request
            .header("accept-encoding", encoding)
            .header("if-match", tag);
        let answer = request.json(&json!({ "note": text })).send().await.unwrap();
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        let header = |name| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        (
            header("content-encoding"),
            header("etag").unwrap(),
            answer.bytes().await.unwrap(),
        )
    };
    let (encoding, weak, packed) = ask("gzip, br", "\"7\"").await;
    assert_eq!((encoding.as_deref(), &*weak), (Some("gzip"), "W/\"7\""));
    assert!(packed.len() < 2_000, "{} bytes", packed.len());
    let seen: Value = serde_json::from_reader(GzDecoder::new(&*packed)).unwrap();
    assert!(seen["body"].as_str().unwrap().contains(&text));
    let (encoding, strong, plain) = ask("identity", &weak).await;
    assert_eq!((encoding, &*strong), (None, "\"7\""));
    let seen: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(seen["headers"]["if-match"], "\"7\"");
}

#[tokio::test]
async fn nobody_in_particular_is_named_so_and_each_service_gets_a_token_of_its_own() {
    let world = World::new().await;
    for (path, audience) in [
        ("/v1/products", "catalog"),
        ("/v1/search?q=x", "search"),
        ("/v1/inventory?sku_ids=x", "inventory"),
    ] {
        let seen = world.api.get(path).await.expect(202).json;
        assert_eq!(seen["caller"]["audience"], audience);
        assert_eq!(seen["caller"]["roles"], json!(["anonymous"]));
    }
    let ada = world.customer().await;
    for (path, audience) in [
        ("/v1/cart".to_owned(), "cart"),
        ("/v1/orders".to_owned(), "order"),
        (format!("/v1/payments/{}", fresh()), "payment"),
        ("/v1/notifications".to_owned(), "notification"),
    ] {
        let seen = ada.get(&path).await.expect(202).json;
        assert_eq!(seen["caller"]["audience"], audience);
    }
}

#[tokio::test]
async fn what_a_client_makes_up_stays_at_the_door() {
    let world = World::new().await;
    let ada = world.customer().await;
    let answer = ada
        .send(
            Method::GET,
            "/v1/orders",
            None::<&Value>,
            &[
                ("x-internal-user", "admin"),
                ("x-user-id", "1"),
                ("x-forwarded-for", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
                ("cookie", "a=b"),
                ("te", "trailers"),
                ("proxy-authorization", "Basic x"),
                (
                    "traceparent",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                ),
                ("baggage", "a=b"),
                ("if-none-match", "\"1\""),
            ],
        )
        .await
        .expect(202);
    let headers = answer.json["headers"].as_object().unwrap();
    let mut names: Vec<&str> = headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let known = [
        "accept",
        "authorization",
        "host",
        "if-none-match",
        "traceparent",
        "x-request-id",
        "x-request-timeout-ms",
    ];
    for name in names {
        assert!(known.contains(&name), "{name} reached the service");
    }
    // The trace goes on, by the gateway's own span, and is the answer's.
    let parent = headers["traceparent"].as_str().unwrap();
    assert!(parent.contains("0af7651916cd43dd8448eb211c80319c"), "{parent}");
    assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
    let told = answer.headers["traceparent"].to_str().unwrap();
    assert!(told.contains("0af7651916cd43dd8448eb211c80319c"), "{told}");
}

#[tokio::test]
async fn a_webhook_arrives_byte_for_byte_and_without_an_identity() {
    let world = World::new().await;
    let raw = "{ \"id\" :\"evt_1\"}\n";
    let answer = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}/v1/payments/webhook", world.port))
        .header("stripe-signature", "t=1,v1=ab")
        .header("authorization", "Bearer rubbish")
        .header("content-type", "application/json")
        .body(raw)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let seen: Value = answer.json().await.unwrap();
    assert_eq!(seen["body"], raw);
    assert_eq!(seen["headers"]["stripe-signature"], "t=1,v1=ab");
    assert!(seen["headers"]["authorization"].is_null());
}

#[tokio::test]
async fn a_merge_names_the_guest_whose_token_it_brings() {
    let world = World::new().await;
    let guest = world.guest().await;
    let guest_id = world
        .api
        .with_token(access(&guest))
        .get("/v1/cart")
        .await
        .expect(202)
        .json["caller"]["user_id"]
        .clone();
    let (_, token) = world.user(&["customer"]).await;
    let ada = world.api.with_token(&token);
    let body = json!({"guest_token": access(&guest)});
    let seen = ada.post("/v1/cart/merge", &body).await.expect(202).json;
    assert_eq!(seen["caller"]["guest_session"], guest_id);
    assert_eq!(seen["caller"]["audience"], "cart");
    assert_eq!(seen["body"], body.to_string());
    // Not remembered for the next call.
    let seen = ada.get("/v1/cart").await.expect(202).json;
    assert!(seen["caller"]["guest_session"].is_null());

    let before = world.upstream.hits();
    for bad in ["rubbish", token.as_str(), ""] {
        let answer = ada.post("/v1/cart/merge", json!({"guest_token": bad})).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], "guest_token");
    }
    let answer = ada.post("/v1/cart/merge", json!({})).await;
    let answer = answer.expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.json["errors"][0]["field"], "guest_token");
    assert_eq!(world.upstream.hits(), before);
}

#[tokio::test]
async fn a_service_that_is_down_is_a_quick_503() {
    let world = World::with(|settings| {
        settings.upstreams.catalog_url = format!("http://127.0.0.1:{}", closed_port());
    })
    .await;
    let started = Instant::now();
    let answer = world.api.get("/v1/products").await;
    let answer = answer.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.json["retryable"], true);
    assert!(started.elapsed() < Duration::from_secs(3));
    world.api.get("/v1/search?q=x").await.expect(202);
}

#[tokio::test]
async fn a_service_that_is_slow_is_a_504_when_its_time_is_over() {
    let world = World::with(|settings| settings.upstreams.timeout_default_ms = 200).await;
    let started = Instant::now();
    let answer = world.api.get("/v1/products?slow_ms=8000").await;
    let answer = answer.expect_problem(504, "DEPENDENCY_TIMEOUT");
    assert_eq!(answer.json["retryable"], true);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn more_than_the_allowed_requests_to_one_service_are_shed() {
    let world = World::with(|settings| settings.upstreams.upstream_in_flight_max = 1).await;
    let before = world.upstream.hits();
    let slow = world.api.get("/v1/products?slow_ms=1500");
    let shed = async {
        ferrocart_test_kit::eventually("the slow request under way", || async {
            (world.upstream.hits() > before).then_some(())
        })
        .await;
        world.api.get("/v1/products").await
    };
    let (slow, shed) = tokio::join!(slow, shed);
    slow.expect(202);
    shed.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    world.api.get("/v1/products").await.expect(202);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let world = World::with(|settings| {
        settings.http.body_bytes_max = 1_000;
        settings.upstreams.import_bytes_max = 100_000;
    })
    .await;
    let ada = world.customer().await;
    let before = world.upstream.hits();
    let answer = ada.post("/v1/checkout", json!({"x": "y".repeat(2_000)})).await;
    answer.expect_problem(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(world.upstream.hits(), before);
    let (_, merchant) = world.user(&["merchant"]).await;
    let import = |body: reqwest::Body| {
        reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/v1/products:import", world.port))
            .bearer_auth(&merchant)
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
    };
    let answer = import("x".repeat(100_001).into()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    let answer = import("{}\n".repeat(30_000).into()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.text().await.unwrap().lines().count(), 30_000);
}

#[tokio::test]
async fn an_import_streams_both_ways_at_once() {
    let world = World::new().await;
    let (_, merchant) = world.user(&["merchant"]).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }));
    let request = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}/v1/products:import", world.port))
        .bearer_auth(&merchant)
        .body(body)
        .send();
    let sent = sender.clone();
    let (answer, ()) = tokio::join!(request, async move {
        sent.send(Ok("{}\n".into())).await.unwrap();
    });
    let mut answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    // The first line is answered before the second is sent.
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "{\"line\":1}\n");
    sender.send(Ok("{}\n".into())).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "{\"line\":2}\n");
    drop(sender);
    assert!(answer.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn large_answers_come_whole() {
    let world = World::new().await;
    for bytes in [0, 1, 300_000, 5_000_000] {
        let answer = world
            .api
            .get(&format!("/v1/products?bytes={bytes}"))
            .await
            .expect(200);
        assert_eq!(answer.text.len(), bytes);
        assert_eq!(answer.headers["content-length"], bytes.to_string().as_str());
    }
}

/// Sent as it stands: HTTP clients clean such paths before they send them.
async fn raw(port: u16, target: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_path_that_would_lead_elsewhere_leads_nowhere() {
    let world = World::new().await;
    assert_eq!(raw(world.port, "/v1/products/abc").await, "202");
    let before = world.upstream.hits();
    for target in [
        "/v1/products/..",
        "/v1/products/%2e%2e",
        "/v1/products/.%2E/reviews",
        "/v1/products/..\\..\\internal",
        "/v1/products/../../internal/v1/prices",
        "/v1/products/..%5c..%5cinternal",
        "/v1/products/%2e",
        "/v1/products/a%2Fb",
        "/v1/products/a%00",
    ] {
        let status = raw(world.port, target).await;
        assert!(["400", "404"].contains(&status.as_str()), "{target}: {status}");
    }
    assert_eq!(world.upstream.hits(), before, "one reached a service");
}

#[tokio::test]
async fn answers_carry_security_fields_and_cors_only_where_it_is_set() {
    let world = World::with(|settings| settings.cors_origins = vec!["https://shop.example".to_owned()]).await;
    let get = async |origin: &str| {
        world
            .api
            .send(Method::GET, "/v1/products", None::<&Value>, &[("origin", origin)])
            .await
            .expect(202)
            .headers
    };
    let headers = get("https://shop.example").await;
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["access-control-allow-origin"], "https://shop.example");
    assert!(
        get("https://evil.example")
            .await
            .get("access-control-allow-origin")
            .is_none()
    );
    let preflight = |origin: &'static str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let api = world.api.clone();
        async move {
            api.send(Method::OPTIONS, "/v1/checkout", None::<&Value>, &headers)
                .await
        }
    };
    let answer = preflight("https://shop.example").await.expect(204);
    assert_eq!(answer.headers["access-control-allow-methods"], "POST");
    preflight("https://evil.example").await.expect(405);
    let refused = world.api.get("/v1/orders").await.expect(401);
    assert_eq!(refused.headers["x-content-type-options"], "nosniff");
}
