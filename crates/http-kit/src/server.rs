use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use actix_web::dev::ServerHandle;
use actix_web::http::header::ACCEPT;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anyhow::Context;
use serde::Deserialize;
use socket2::{Domain, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::auth::TokenVerifier;
use crate::health::Readiness;
use crate::lifecycle::Background;
use crate::middleware::observe;
use crate::openapi::openapi_document;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::tls::TlsSettings;

/// How a service listens; part of its settings.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpSettings {
    pub host: String,
    /// 0 takes a free port.
    pub port: u16,
    /// Worker threads.
    pub http_workers: usize,
    /// The largest JSON body.
    pub body_bytes_max: usize,
    /// How long requests may take to end after SIGTERM.
    pub shutdown_grace_ms: u64,
}

/// How many clients may wait to be let in: a crowd comes at once, and the standard library's 128 would turn
/// it away. The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// The largest JSON body a handler reads, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(256 * 1024)
    }
}

/// What one service adds to the common server.
#[derive(Clone)]
pub struct ServerParts {
    pub service: &'static str,
    pub readiness: Readiness,
    pub openapi: utoipa::openapi::OpenApi,
    /// Checks the bearer token of everything but health, metrics, the OpenAPI document and
    /// `public_paths`. The gateway has none: it checks the public tokens itself.
    pub verifier: Option<TokenVerifier>,
    /// Paths that are reached without a token because they check their caller in another way.
    pub public_paths: &'static [&'static str],
}

/// A listener that is bound and not yet serving: its port is known before the service starts.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<(TcpListener, rustls::ServerConfig)>,
    settings: HttpSettings,
}

impl Server {
    pub fn bind(settings: &HttpSettings) -> anyhow::Result<Self> {
        Ok(Self {
            listener: listen_at(&settings.host, settings.port, "PORT")?,
            tls: None,
            settings: settings.clone(),
        })
    }

    /// Listens at a second port with TLS as well, if the settings say so.
    pub fn with_tls(mut self, settings: &TlsSettings) -> anyhow::Result<Self> {
        if settings.is_on() {
            let config = settings.server_config()?;
            let listener = listen_at(&self.settings.host, settings.tls_port, "TLS_PORT")?;
            self.tls = Some((listener, config));
        }
        Ok(self)
    }

    /// `None` without TLS.
    pub fn tls_port(&self) -> anyhow::Result<Option<u16>> {
        let address = self.tls.as_ref().map(|(listener, _)| listener.local_addr());
        Ok(address.transpose()?.map(|address| address.port()))
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serves until the token is cancelled, then lets the requests under way end.
    pub async fn run(
        self,
        parts: ServerParts,
        configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        let address = self.listener.local_addr()?;
        let service = parts.service;
        let document = web::Data::new(Document(serde_json::to_string(&openapi_document(
            &parts.openapi,
        )?)?));
        let readiness = parts.readiness.clone();
        let limit = BodyLimit(self.settings.body_bytes_max);
        // In a block of its own: what is being built must not be held while it serves.
        let server = {
            let mut server = HttpServer::new(move || {
                App::new()
                    .app_data(limit)
                    .app_data(Routes::default())
                    .app_data(document.clone())
                    .app_data(web::Data::new(parts.clone()))
                    .wrap(from_fn(observe))
                    // The first match wins: a service may answer a common path in its own way, as the gateway
                    // does with the document of all services.
                    .configure(configure.clone())
                    .configure(common_routes)
                    .default_service(web::to(not_found))
            })
            .listen(self.listener)?;
            if let Some((listener, config)) = self.tls {
                tracing::info!(address = %listener.local_addr()?, "{service} is listening with TLS");
                server = server.listen_rustls_0_23(listener, config)?;
            }
            server
                .workers(self.settings.http_workers.max(1))
                .client_request_timeout(std::time::Duration::from_secs(10))
                .shutdown_timeout(self.settings.shutdown_grace_ms.div_ceil(1000))
                .disable_signals()
                .run()
        };
        tracing::info!(%address, "{service} is listening");
        let stopper = ferrocart_telemetry::spawn("http-stop", stop_on(cancel, server.handle(), readiness));
        let outcome = server.await;
        stopper.abort();
        tracing::info!("{service} has stopped listening");
        outcome.context("the HTTP server failed")
    }
}

fn listen_at(host: &str, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let address = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("host: `{host}` is no address"))?
        .next()
        .with_context(|| format!("host: `{host}` is no address"))?;
    listen(address).with_context(|| {
        format!("cannot listen on {address}: is the port taken? Set {setting} to another one")
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A port whose last connections are still winding down can be taken again, as the standard library has it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until `cancel` fires, with background tasks beside: they are told to end when the server has
/// ended, so that what the last requests leave behind is still done. A task that fails ends the server.
pub async fn run_service(
    server: Server,
    parts: ServerParts,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    background: impl FnOnce(&mut Background, CancellationToken),
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let stop_background = CancellationToken::new();
    let mut tasks = Background::new();
    background(&mut tasks, stop_background.clone());
    let tasks = ferrocart_telemetry::spawn("background", {
        let (cancel, stop) = (cancel.clone(), stop_background.clone());
        async move {
            let outcome = tasks.run(stop).await;
            cancel.cancel();
            outcome
        }
    });
    let served = server.run(parts, configure, cancel).await;
    stop_background.cancel();
    tasks.await??;
    served
}

async fn stop_on(cancel: CancellationToken, server: ServerHandle, readiness: Readiness) {
    cancel.cancelled().await;
    readiness.drain();
    server.stop(true).await;
}

struct Document(String);

fn common_routes(config: &mut ServiceConfig) {
    config
        .route("/health/live", web::get().to(live))
        .route("/health/ready", web::get().to(ready))
        .route("/metrics", web::get().to(metrics))
        .route("/openapi.json", web::get().to(openapi));
    crate::failpoints::routes(config);
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

async fn ready(parts: web::Data<ServerParts>) -> HttpResponse {
    parts.readiness.respond().await
}

/// As OpenMetrics for those who ask for it, as Prometheus does: it has exemplars.
async fn metrics(request: HttpRequest) -> HttpResponse {
    let accepted = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
        return HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(ferrocart_telemetry::render_openmetrics());
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(ferrocart_telemetry::render_metrics())
}

async fn openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document.0.clone())
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(
        "NOT_FOUND",
        format!("there is nothing at {}", request.path()),
    ))
}
