//! The least that a change of a cart could cost: behind the HTTP layer that all services have, one script in Redis that
//! writes as many bytes as the cart's and reads as many back, and decides nothing.

use std::path::PathBuf;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::{Data, ServiceConfig, post};
use anyhow::Result;
use ferrocart_http_kit::{
    AuthSettings, Caller, HttpSettings, Json, Problem, Readiness, Role, Server, ServerParts, TokenVerifier,
};
use ferrocart_redis_kit::deadpool_redis::redis::Script;
use ferrocart_redis_kit::{Redis, RedisSettings};
use ferrocart_telemetry::TelemetrySettings;
use garde::Validate;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// As the cart service by default.
const WORKERS: usize = 2;
const BODY_BYTES_MAX: usize = 256 * 1024;
const GRACE_MS: u64 = 10_000;
const POOL_MAX: usize = 16;
const TIMEOUT_MS: u64 = 1_000;
const TTL_SECONDS: u32 = 24 * 60 * 60;
/// Of a line as the cart keeps it: its quantity, and what the SKU is and costs.
const LINE_BYTES: usize = 230;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
         redis.call('EXPIRE', KEYS[1], ARGV[1])
         return redis.call('HGETALL', KEYS[1])",
    )
});

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Add {
    #[garde(skip)]
    sku_id: Uuid,
    #[garde(range(min = 1, max = 1_000))]
    quantity: u16,
}

/// Serves until it is killed, whoever has a token for the cart; says its address on the standard error.
pub async fn serve(redis_url: String, jwks: PathBuf) -> Result<()> {
    let telemetry = TelemetrySettings {
        log_level: "info".to_owned(),
        otel_exporter_otlp_endpoint: String::new(),
    };
    let _guard = ferrocart_telemetry::init("round-trip", &telemetry)?;
    let server = Server::bind(&HttpSettings {
        host: "127.0.0.1".to_owned(),
        port: 0,
        http_workers: WORKERS,
        body_bytes_max: BODY_BYTES_MAX,
        shutdown_grace_ms: GRACE_MS,
    })?;
    eprintln!("127.0.0.1:{}", server.port()?);
    let auth = AuthSettings {
        internal_signing_key_file: PathBuf::new(),
        internal_jwks_file: jwks,
    };
    let parts = ServerParts {
        service: "round-trip",
        readiness: Readiness::new(Vec::new()),
        openapi: utoipa::openapi::OpenApi::default(),
        verifier: Some(TokenVerifier::load("cart", &auth)?),
        public_paths: &[],
    };
    let redis = Data::new(Redis::new(&RedisSettings {
        redis_url,
        redis_pool_max: POOL_MAX,
        redis_timeout_ms: TIMEOUT_MS,
    })?);
    let configure = move |config: &mut ServiceConfig| {
        config
            .app_data(redis.clone())
            .route("/v1/cart/items", post().to(add));
    };
    server.run(parts, configure, CancellationToken::new()).await
}

async fn add(caller: Caller, redis: Data<Redis>, body: Json<Add>) -> Result<HttpResponse, Problem> {
    caller.require_any(&[Role::Guest, Role::Customer])?;
    let Add { sku_id, quantity } = body.value;
    let mut invocation = SCRIPT.prepare_invoke();
    invocation
        .key(format!("round-trip:{}", caller.user()?.user_id))
        .arg(TTL_SECONDS)
        .arg(sku_id.to_string())
        .arg(format!("{quantity}{}", "x".repeat(LINE_BYTES)));
    let fields: Vec<String> = redis
        .call("round_trip", |mut connection| async move {
            invocation.invoke_async(&mut connection).await
        })
        .await
        .map_err(|_| Problem::internal())?;
    Ok(HttpResponse::Ok().json(fields))
}
