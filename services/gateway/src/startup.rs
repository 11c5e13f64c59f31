use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use anyhow::Context;
use ferrocart_config::ConfigError;
use ferrocart_http_kit::sse::{StreamBounds, Streams};
use ferrocart_http_kit::{
    Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenIssuer, run_service,
};
use ferrocart_pg_kit::{connect, migrate, ping};
use ferrocart_redis_kit::Redis;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::app::{
    self, AccessTokens, Accounts, ApiKeys, EmailChanges, PasswordHasher, PasswordResets, PasswordTries,
    Sessions,
};
use crate::config::{IdentitySettings, Settings};
use crate::docs::{self, Documents, Page, own_document, public_document};
use crate::edge::{
    Edge, EdgeSettings, FlashSales, InternalTokens, UpstreamHealth, Upstreams, mount, probe, watch_sales,
};
use crate::limits::Limiter;
use crate::openapi::ApiDoc;
use crate::sse::{self, Feed, OrderChange, StockChange};
use crate::workers::{LinkMailer, Pages};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// For `main`.
#[derive(Debug)]
pub struct Gateway;

impl ServiceMain for Gateway {
    const NAME: &'static str = "gateway";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        settings.validate()
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        ApiDoc::openapi()
    }

    fn document(neighbours: &BTreeMap<String, serde_json::Value>) -> serde_json::Result<serde_json::Value> {
        public_document(neighbours)
    }

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = connect(&settings.pg, Self::NAME)?;
        Ok(migrate(&pool, &MIGRATOR).await?)
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        let application = Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        application.run_until_stopped(cancel).await
    }
}

/// The gateway, its database up to date and its port bound, not yet serving.
pub struct Application {
    server: Server,
    readiness: Readiness,
    state: State,
    settings: Settings,
    pool: PgPool,
    clock: SharedClock,
}

/// What the handlers share.
#[derive(Clone)]
struct State {
    edge: web::Data<Edge>,
    identity: Identity,
    orders: web::Data<Feed<OrderChange>>,
    stock: web::Data<Feed<StockChange>>,
    streams: web::Data<Streams>,
    documents: web::Data<Documents>,
    page: web::Data<Page>,
    health: web::Data<UpstreamHealth>,
}

impl State {
    fn configure(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.edge.clone())
            .app_data(self.orders.clone())
            .app_data(self.stock.clone())
            .app_data(self.streams.clone())
            .app_data(self.documents.clone())
            .app_data(self.page.clone())
            .app_data(self.health.clone());
        self.identity.configure(config);
        mount(config);
    }
}

/// Accounts, and all by which their owners are known.
#[derive(Clone)]
struct Identity {
    accounts: web::Data<Accounts>,
    sessions: web::Data<Sessions>,
    resets: web::Data<PasswordResets>,
    email_changes: web::Data<EmailChanges>,
    keys: web::Data<ApiKeys>,
    tokens: web::Data<AccessTokens>,
}

impl Identity {
    async fn build(
        settings: &IdentitySettings,
        pool: &PgPool,
        tokens: AccessTokens,
        limiter: Arc<Limiter>,
        (clock, ids): (SharedClock, SharedIds),
    ) -> anyhow::Result<Self> {
        let tries = PasswordTries::new(limiter, settings);
        let hasher = PasswordHasher::new(settings)?;
        let means = (clock.clone(), ids.clone());
        let email_changes = EmailChanges::new(pool.clone(), hasher.clone(), means.clone(), settings);
        let accounts = Accounts {
            pool: pool.clone(),
            hasher: hasher.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            email_changes: email_changes.clone(),
            tries: tries.clone(),
        };
        accounts.bootstrap(settings).await?;
        let keys = ApiKeys {
            pool: pool.clone(),
            tokens: tokens.clone(),
            clock,
            ids,
        };
        let resets = PasswordResets::new(&accounts, settings);
        let sessions = Sessions::new(pool.clone(), (hasher, tries), tokens.clone(), means, settings);
        Ok(Self {
            accounts: web::Data::new(accounts),
            sessions: web::Data::new(sessions),
            resets: web::Data::new(resets),
            email_changes: web::Data::new(email_changes),
            keys: web::Data::new(keys),
            tokens: web::Data::new(tokens),
        })
    }

    fn configure(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.accounts.clone())
            .app_data(self.sessions.clone())
            .app_data(self.resets.clone())
            .app_data(self.email_changes.clone())
            .app_data(self.keys.clone())
            .app_data(self.tokens.clone());
    }
}

fn edge_settings(settings: &Settings) -> EdgeSettings {
    EdgeSettings {
        trusted_proxies: settings.trusted_proxies.clone(),
        cors_origins: settings.cors_origins.clone(),
        deprecations: settings.deprecations.clone(),
        limits: settings.limits.clone(),
        body_bytes_max: settings.http.body_bytes_max,
        import_bytes_max: settings.upstreams.import_bytes_max,
        gives_password_grant: settings.identity.oauth_password_grant,
    }
}

impl Application {
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        settings.validate()?;
        let pool = connect(&settings.pg, Gateway::NAME).context("database_url")?;
        migrate(&pool, &MIGRATOR)
            .await
            .context("bringing the database up to date")?;
        let server = Server::bind(&settings.http)?.with_tls(&settings.tls)?;
        let redis = Redis::new(&settings.redis).context("redis_url")?;
        let tokens = AccessTokens::load(&settings.identity, clock.clone())?;
        let issuer = TokenIssuer::load(Gateway::NAME, &settings.auth, clock.clone())?;
        let means = (clock.clone(), ids);
        let limiter = Arc::new(Limiter::new(redis));
        let identity = Identity::build(
            &settings.identity,
            &pool,
            tokens.clone(),
            Arc::clone(&limiter),
            means,
        )
        .await?;
        let edge = Edge {
            tokens,
            internal: InternalTokens::new(issuer),
            upstreams: Upstreams::new(&settings.upstreams)?,
            limiter,
            flash_sales: FlashSales::default(),
            settings: edge_settings(&settings),
        };
        let own_document = own_document()?;
        let state = State {
            edge: web::Data::new(edge),
            identity,
            orders: web::Data::default(),
            stock: web::Data::default(),
            streams: web::Data::new(Streams::new(
                StreamBounds {
                    per_watcher: settings.sse_streams_per_user_max,
                    in_all: settings.sse_streams_max,
                },
                Duration::from_millis(settings.sse_heartbeat_ms),
            )),
            documents: web::Data::new(Documents::new(own_document, settings.deprecations.clone())),
            page: web::Data::new(Page::new()),
            health: web::Data::new(UpstreamHealth::default()),
        };
        Ok(Self {
            server,
            readiness: Readiness::new(vec![database_check(&pool)]).with_details("upstreams", {
                let health = state.health.clone();
                move || serde_json::json!(health.states())
            }),
            state,
            settings,
            pool,
            clock,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// `None` without TLS.
    pub fn tls_port(&self) -> anyhow::Result<Option<u16>> {
        self.server.tls_port()
    }

    /// Serves until the token is cancelled: then streams end, requests under way are answered, and last
    /// the background tasks stop.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Self {
            server,
            readiness,
            state,
            settings,
            pool,
            clock,
        } = self;
        let parts = ServerParts {
            service: Gateway::NAME,
            readiness,
            openapi: ApiDoc::openapi(),
            verifier: None,
            public_paths: &[],
        };
        let stopping = cancel.clone();
        let background = {
            let state = state.clone();
            move |tasks: &mut Background, stop: CancellationToken| {
                let orders = state.orders.get_ref().clone();
                tasks.spawn(
                    "order-events",
                    sse::tail(settings.kafka.clone(), orders, stop.clone()),
                );
                let stock = state.stock.get_ref().clone();
                tasks.spawn(
                    "inventory-events",
                    sse::tail(settings.kafka.clone(), stock, stop.clone()),
                );
                let documents = state.documents.get_ref().clone();
                let upstreams = state.edge.upstreams.clone();
                let period = settings.openapi_refresh();
                tasks.spawn(
                    "openapi",
                    docs::refresh(documents, upstreams, period, stop.clone()),
                );
                let (health, upstreams) = (state.health.get_ref().clone(), state.edge.upstreams.clone());
                tasks.spawn("upstreams", probe(health, upstreams, stop.clone()));
                let doors = (state.edge.upstreams.clone(), state.edge.internal.clone());
                let period = Duration::from_millis(settings.flash_sales_refresh_ms);
                let sales = watch_sales(state.edge.flash_sales.clone(), doors, period, stop.clone());
                tasks.spawn("flash-sales", sales);
                if let Some(outside) = state.identity.tokens.outside() {
                    tasks.spawn("outside-issuer", outside.clone().refresh(stop.clone()));
                }
                let links = link_mailer(&state, &settings.identity, (pool.clone(), clock.clone()));
                tasks.spawn("mailed-links", links.run(stop.clone()));
                tasks.spawn("old-sessions", app::sweep(pool, clock, stop.clone()));
                let streams = state.streams.get_ref().clone();
                tasks.spawn("end-streams", async move {
                    // Before the server waits for its requests to end.
                    stopping.cancelled().await;
                    streams.end();
                    stop.cancelled().await;
                    Ok(())
                });
            }
        };
        run_service(
            server,
            parts,
            move |config| state.configure(config),
            background,
            cancel,
        )
        .await
    }
}

fn link_mailer(
    state: &State,
    settings: &IdentitySettings,
    (pool, clock): (PgPool, SharedClock),
) -> LinkMailer {
    LinkMailer {
        pool,
        clock,
        asked: Arc::clone(&state.identity.email_changes.asked),
        upstreams: state.edge.upstreams.clone(),
        tokens: state.edge.internal.clone(),
        pages: Pages {
            password_reset: settings.password_reset_url.clone(),
            email_change: settings.email_change_url.clone(),
        },
    }
}

fn database_check(pool: &PgPool) -> Check {
    let pool = pool.clone();
    Check::new("database", move || {
        let pool = pool.clone();
        async move { ping(&pool).await }
    })
}
