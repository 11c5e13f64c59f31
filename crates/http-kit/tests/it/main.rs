//! The server as a client meets it: identity, problems, ids, health and the end of its life.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{
    Caller, Check, HttpSettings, Problem, Readiness, Role, Server, ServerParts, ServiceClient, TokenVerifier,
};
use ferrocart_test_kit::{Api, TestKeys};
use tokio_util::sync::CancellationToken;

struct Running {
    port: u16,
    cancel: CancellationToken,
    keys: Arc<TestKeys>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/me", web::get().to(me))
        .route("/v1/panic", web::get().to(panicking))
        .route("/v1/slow", web::get().to(slow))
        .route("/v1/left", web::get().to(left))
        .route("/internal/v1/secret", web::get().to(me));
}

async fn me(caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(serde_json::json!({ "scope": caller.scope() })))
}

async fn panicking(_caller: Caller) -> HttpResponse {
    panic!("on purpose")
}

async fn slow(_caller: Caller) -> HttpResponse {
    tokio::time::sleep(Duration::from_millis(500)).await;
    HttpResponse::Ok().json(serde_json::json!({}))
}

fn start(readiness: Readiness) -> Running {
    let keys = Arc::new(TestKeys::generate());
    let settings = HttpSettings {
        host: "127.0.0.1".to_owned(),
        port: 0,
        http_workers: 1,
        body_bytes_max: 1024,
        shutdown_grace_ms: 5_000,
    };
    let server = Server::bind(&settings).unwrap();
    let port = server.port().unwrap();
    let cancel = CancellationToken::new();
    let parts = ServerParts {
        service: "cart",
        readiness,
        openapi: utoipa::openapi::OpenApi::default(),
        verifier: Some(TokenVerifier::load("cart", &keys.auth("cart")).unwrap()),
        public_paths: &[],
    };
    let task = ferrocart_telemetry::spawn("server", server.run(parts, routes, cancel.clone()));
    Running {
        port,
        cancel,
        keys,
        task,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_token_for_this_service_comes_in() {
    let running = start(Readiness::default());
    let api = Api::new(running.port);
    api.get("/v1/me").await.expect_problem(401, "UNAUTHENTICATED");
    api.with_token("x.y.z")
        .get("/v1/me")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    let (_, elsewhere) = running.keys.new_user("order", &[Role::Admin]);
    api.with_token(elsewhere)
        .get("/v1/me")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    let (user, token) = running.keys.new_user("cart", &[Role::Admin]);
    let me = api.with_token(&token).get("/v1/me").await.expect(200);
    assert_eq!(me.json["scope"], format!("user:{user}"));
    api.with_token(token)
        .get("/internal/v1/secret")
        .await
        .expect_problem(403, "FORBIDDEN");
    let service = running.keys.service_token("order", "cart");
    api.with_token(service)
        .get("/internal/v1/secret")
        .await
        .expect(200);
    // Even what does not exist is told only to those who may come in.
    api.get("/v1/nothing")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_a_problem_with_a_trace_id() {
    let running = start(Readiness::default());
    let (_, token) = running.keys.new_user("cart", &[Role::Customer]);
    let api = Api::new(running.port).with_token(token);
    api.get("/v1/nothing").await.expect_problem(404, "NOT_FOUND");
    api.post("/v1/me", serde_json::json!({}))
        .await
        .expect_problem(404, "NOT_FOUND");
    let panic = api.get("/v1/panic").await.expect_problem(500, "INTERNAL_ERROR");
    assert!(!panic.text.contains("on purpose"), "the cause leaked");
    // The worker lives on.
    api.get("/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_goes_on() {
    let running = start(Readiness::default());
    let (_, token) = running.keys.new_user("cart", &[Role::Customer]);
    let api = Api::new(running.port).with_token(token);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = api
        .send(
            reqwest::Method::GET,
            "/v1/nothing",
            None::<&()>,
            &[("traceparent", parent), ("x-request-id", "abc-1")],
        )
        .await;
    assert_eq!(answer.json["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    let traceparent = answer.headers["traceparent"].to_str().unwrap();
    assert!(
        traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{traceparent}"
    );
    assert_eq!(answer.headers["x-request-id"], "abc-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_away_and_never_hangs() {
    let running = start(Readiness::new(vec![
        Check::new("fine", || async { Ok::<(), String>(()) }),
        Check::new("broken", || async { Err("refused") }),
        Check::new("hanging", || async {
            std::future::pending::<()>().await;
            Ok::<(), String>(())
        }),
    ]));
    let api = Api::new(running.port);
    api.get("/health/live").await.expect(200);
    let report = api.get("/health/ready").await.expect(503);
    let failed: Vec<_> = report.json["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["check"].clone())
        .collect();
    assert_eq!(failed, ["broken", "hanging"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_end_before_the_server_does() {
    let running = start(Readiness::default());
    let (_, token) = running.keys.new_user("cart", &[Role::Customer]);
    let api = Api::new(running.port).with_token(token);
    let (started, cancel) = (tokio::time::Instant::now(), running.cancel.clone());
    let slow = ferrocart_telemetry::spawn("slow", {
        let api = api.clone();
        async move { api.get("/v1/slow").await }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    cancel.cancel();
    assert_eq!(slow.await.unwrap().status, 200);
    running.task.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_speaks_for_its_service_and_tells_no_from_no_answer() {
    let running = start(Readiness::default());
    let base = format!("http://127.0.0.1:{}", running.port);
    let client = |timeout| {
        ServiceClient::new(
            "cart",
            &base,
            running.keys.issuer("order"),
            Duration::from_millis(timeout),
        )
        .unwrap()
    };
    let me: serde_json::Value = client(2_000).get("/internal/v1/secret").await.unwrap();
    assert_eq!(me["scope"], "service:order");
    let refused = client(2_000)
        .get::<serde_json::Value>("/v1/nothing")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("NOT_FOUND"));
    assert!(refused.is_definite());
    let late = client(100)
        .get::<serde_json::Value>("/v1/slow")
        .await
        .unwrap_err();
    assert!(
        matches!(late, ferrocart_http_kit::CallError::NoAnswer { .. }),
        "{late}"
    );
    let away = ServiceClient::new(
        "cart",
        "http://127.0.0.1:1",
        running.keys.issuer("order"),
        Duration::from_secs(1),
    )
    .unwrap();
    let away = away.get::<serde_json::Value>("/").await.unwrap_err();
    assert!(
        matches!(away, ferrocart_http_kit::CallError::Unreachable { .. }),
        "{away}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_in_time_is_refused_and_what_is_late_is_dropped() {
    let running = start(Readiness::default());
    let (_, token) = running.keys.new_user("cart", &[Role::Customer]);
    let api = Api::new(running.port).with_token(token);
    let ask = async |path: &str, timeout_ms: &str| {
        let headers = [("x-request-timeout-ms", timeout_ms)];
        api.send(reqwest::Method::GET, path, None::<&()>, &headers).await
    };
    ask("/v1/me", "0").await.expect_problem(504, "DEADLINE_EXCEEDED");
    let late = ask("/v1/slow", "50")
        .await
        .expect_problem(504, "DEADLINE_EXCEEDED");
    assert_eq!(late.json["retryable"], true);
    ask("/v1/slow", "60000").await.expect(200);
    ask("/v1/me", "soon").await.expect(200);
    // What is left goes on to the next one.
    let left = ask("/v1/left", "5000").await.expect(200).json["left_ms"]
        .as_u64()
        .unwrap();
    assert!((1..=5_000).contains(&left), "{left}");
    assert!(api.get("/v1/left").await.expect(200).json["left_ms"].is_null());
}

async fn left(_caller: Caller) -> HttpResponse {
    let left_ms = ferrocart_http_kit::time_left().map(|left| left.as_millis());
    HttpResponse::Ok().json(serde_json::json!({ "left_ms": left_ms }))
}
