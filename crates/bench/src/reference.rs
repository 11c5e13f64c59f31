//! The references that are reached over HTTP, in a process of their own as the services are, with as many
//! workers as they have: an echo that is bare actix-web, and the naive design behind the same HTTP layer as
//! the inventory service, with authentication, traces, metrics and a log line a request.

use std::net::TcpListener;
use std::path::PathBuf;

use actix_web::web::{Bytes, Data, PayloadConfig, ServiceConfig, post};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context as _, Result};
use ferrocart_http_kit::{
    AuthSettings, Caller, HttpSettings, Json, Problem, Readiness, Role, Server, ServerParts, TokenVerifier,
};
use ferrocart_telemetry::TelemetrySettings;
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::naive::{self, Moved, Outcome, Step};

/// As the services by default.
const WORKERS: usize = 2;
const BODY_BYTES_MAX: usize = 256 * 1024;
const GRACE_MS: u64 = 10_000;
/// Whose tokens the naive design takes: those for the inventory service.
const AUDIENCE: &str = "inventory";

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Reserve {
    #[garde(skip)]
    order_id: Uuid,
    #[garde(length(min = 1, max = 100), dive)]
    items: Vec<Item>,
}

#[derive(Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
struct Item {
    #[garde(skip)]
    sku_id: Uuid,
    #[garde(range(min = 1, max = 10_000))]
    quantity: i32,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Move {
    #[garde(skip)]
    reservation_id: Uuid,
}

/// Serves until it is killed; says on the standard error where: the echo's address, the naive design's. The
/// standard output is for the log, as with the services.
pub async fn serve(database_url: &str, jwks: PathBuf) -> Result<()> {
    let telemetry = TelemetrySettings {
        log_level: "info".to_owned(),
        otel_exporter_otlp_endpoint: String::new(),
    };
    let _guard = ferrocart_telemetry::init("naive", &telemetry)?;
    let echo = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    let naive = Server::bind(&HttpSettings {
        host: "127.0.0.1".to_owned(),
        port: 0,
        http_workers: WORKERS,
        body_bytes_max: BODY_BYTES_MAX,
        shutdown_grace_ms: GRACE_MS,
    })?;
    let echo_address = echo.local_addr().context("the bound address")?;
    eprintln!("{echo_address} 127.0.0.1:{}", naive.port()?);
    let parts = ServerParts {
        service: "naive",
        readiness: Readiness::new(Vec::new()),
        openapi: utoipa::openapi::OpenApi::default(),
        verifier: Some(TokenVerifier::load(
            AUDIENCE,
            &AuthSettings {
                internal_signing_key_file: PathBuf::new(),
                internal_jwks_file: jwks,
            },
        )?),
        public_paths: &[],
    };
    let pool = Data::new(naive::pool(database_url)?);
    let configure = move |config: &mut ServiceConfig| {
        config
            .app_data(pool.clone())
            .route("/naive/reserve", post().to(reserve))
            .route("/naive/confirm", post().to(confirm))
            .route("/naive/release", post().to(release));
    };
    let bare = serve_echo(echo);
    let naive = naive.run(parts, configure, CancellationToken::new());
    tokio::try_join!(bare, naive).map(drop)
}

async fn serve_echo(listener: TcpListener) -> Result<()> {
    HttpServer::new(|| {
        App::new()
            .app_data(PayloadConfig::new(BODY_BYTES_MAX))
            .route("/echo", post().to(echo))
    })
    .listen(listener)
    .context("listen")?
    .workers(WORKERS)
    .run()
    .await
    .context("serve")
}

async fn echo(body: Bytes) -> HttpResponse {
    HttpResponse::Created()
        .content_type("application/json")
        .body(body)
}

async fn reserve(caller: Caller, pool: Data<PgPool>, body: Json<Reserve>) -> Result<HttpResponse, Problem> {
    caller.require_any(&[Role::Service])?;
    let request = body.value;
    let item = request.items.first().ok_or_else(Problem::internal)?;
    match naive::reserve(&pool, request.order_id, item.sku_id, item.quantity).await {
        Ok(Outcome::Granted) => Ok(HttpResponse::Created().json(serde_json::json!({
            "reservation_id": request.order_id, "order_id": request.order_id, "status": "RESERVED",
            "items": request.items,
        }))),
        Ok(Outcome::SoldOut) => Err(Problem::conflict("INSUFFICIENT_STOCK", "sold out")),
        Ok(Outcome::UnknownSku) => Err(Problem::not_found("PRODUCT_NOT_FOUND", "no such SKU")),
        Err(_) => Err(Problem::internal()),
    }
}

async fn confirm(caller: Caller, pool: Data<PgPool>, body: Json<Move>) -> Result<HttpResponse, Problem> {
    step(&caller, &pool, body.value.reservation_id, Step::Confirm).await
}

async fn release(caller: Caller, pool: Data<PgPool>, body: Json<Move>) -> Result<HttpResponse, Problem> {
    step(&caller, &pool, body.value.reservation_id, Step::Release).await
}

async fn step(caller: &Caller, pool: &PgPool, order_id: Uuid, step: Step) -> Result<HttpResponse, Problem> {
    caller.require_any(&[Role::Service])?;
    match naive::step(pool, order_id, step).await {
        Ok(Moved::Done) => Ok(HttpResponse::Ok().json(serde_json::json!({ "reservation_id": order_id }))),
        Ok(Moved::NotAllowed) => Err(Problem::conflict("INVALID_STOCK_STATE", "it is in another state")),
        Ok(Moved::Unknown) => Err(Problem::not_found("RESERVATION_NOT_FOUND", "no such reservation")),
        Err(_) => Err(Problem::internal()),
    }
}
