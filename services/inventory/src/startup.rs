use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use anyhow::Context;
use chrono::TimeDelta;
use ferrocart_config::ConfigError;
use ferrocart_contracts::Topic;
use ferrocart_http_kit::sse::{StreamBounds, Streams};
use ferrocart_http_kit::{
    Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenIssuer, TokenVerifier,
};
use ferrocart_kafka_kit::{Consumer, KafkaSettings, Relay, RelayHandle, ensure_topics};
use ferrocart_redis_kit::SharedRedis;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Keeper};
use crate::app::{DriftDesk, HoldDesk, Ownership, SaleDesk, SaleMeter, StockDesk, WaitDesk, Waiters};
use crate::batcher::{Batcher, Tools};
use crate::cache::ReservationCache;
use crate::clients::CatalogClient;
use crate::config::{DEFAULTS, Settings};
use crate::consumers::OrderCancellations;
use crate::domain::HoldSeconds;
use crate::routes::{self, AppState};
use crate::workers::{Housekeeper, LineServer, Reconciler, SaleKeeper, Sweeper};
use crate::{SERVICE, openapi};

static MIGRATOR: Migrator = sqlx::migrate!();

/// How long to wait before the broker or the database is tried again at the start.
const RETRY: Duration = Duration::from_millis(500);

/// The service, built and listening, not yet serving.
pub struct Application {
    server: Server,
    parts: ServerParts,
    state: AppState,
    background: Background,
    /// Ends the background tasks, after the server has ended.
    stop_background: CancellationToken,
}

impl Application {
    /// Brings the database up to date and starts what runs in the background.
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        let server = Server::bind(&settings.http)?;
        let pool = ferrocart_pg_kit::connect(&settings.pg, SERVICE).context("database_url")?;
        migrate(&pool).await?;
        let verifier = TokenVerifier::load(SERVICE, &settings.auth)?;
        let stop_background = CancellationToken::new();
        let mut background = Background::new();

        let relay = Relay::new(pool.clone(), &settings.kafka, SERVICE);
        let redis =
            SharedRedis::new(&settings.redis, settings.admission.redis_cluster).context("redis_url")?;
        let reservations = ReservationCache::new(redis.clone());
        let admission = Admission::start(
            redis,
            pool.clone(),
            Arc::clone(&clock),
            &mut background,
            &stop_background,
        );
        let tools = Tools {
            clock,
            ids,
            relay: relay.handle(),
            admission,
            waiters: Waiters::default(),
            reservations,
            stock_low_threshold: settings.stock_low_threshold,
        };
        let meter = SaleMeter::default();
        let batcher = Batcher::start(
            &settings.batcher,
            &pool.connect_options(),
            &tools,
            &mut background,
            &stop_background,
        );
        spawn_workers(
            &mut background,
            Workers {
                settings: &settings,
                pool: &pool,
                relay,
                batcher: &batcher,
                tools: &tools,
                meter: &meter,
                cancel: &stop_background,
            },
        );
        let state = state(&settings, &pool, &tools, (batcher, meter))?;
        Ok(Self {
            server,
            parts: ServerParts {
                service: SERVICE,
                readiness: readiness(&pool),
                openapi: openapi::document(),
                verifier: Some(verifier),
                public_paths: &[],
            },
            state,
            background,
            stop_background,
        })
    }

    /// The counters, as this replica knows them.
    pub fn admission(&self) -> Admission {
        self.state.admission.clone()
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// Requests first, then what they need: the lanes end when nobody can ask them any more.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let streams = self.state.streams.clone();
        let state = Data::new(self.state);
        let configure = move |config: &mut ServiceConfig| routes::configure(config, &state);
        let stop_background = self.stop_background.clone();
        // A background task that fails takes the server down with it.
        let failed = self.stop_background.clone();
        let stop_server = cancel.clone();
        let watch = ferrocart_telemetry::spawn("watch-background", async move {
            failed.cancelled().await;
            stop_server.cancel();
        });
        let stopping = cancel.clone();
        let end_streams = ferrocart_telemetry::spawn("end-streams", async move {
            stopping.cancelled().await;
            streams.end();
        });
        let background =
            ferrocart_telemetry::spawn("background", self.background.run(stop_background.clone()));
        let served = self.server.run(self.parts, configure, cancel).await;
        stop_background.cancel();
        let worked = background.await.context("the background tasks panicked")?;
        watch.abort();
        end_streams.abort();
        served.and(worked)
    }
}

struct Workers<'a> {
    settings: &'a Settings,
    pool: &'a PgPool,
    relay: Relay,
    batcher: &'a Batcher,
    tools: &'a Tools,
    meter: &'a SaleMeter,
    cancel: &'a CancellationToken,
}

fn spawn_workers(background: &mut Background, workers: Workers<'_>) {
    let Workers {
        settings,
        pool,
        relay,
        batcher,
        tools,
        meter,
        cancel,
    } = workers;
    background.spawn(
        "relay",
        relay_when_ready(relay, settings.kafka.clone(), cancel.clone()),
    );
    background.spawn(
        "order-events",
        consume(settings.kafka.clone(), batcher.clone(), cancel.clone()),
    );
    let sweeper = Sweeper {
        pool: pool.clone(),
        tools: tools.clone(),
        interval: Duration::from_millis(settings.sweep_interval_ms),
    };
    background.spawn("sweeper", sweeper.run(cancel.clone()));
    let line = LineServer {
        desk: wait_desk(settings, pool, tools),
        poll: Duration::from_millis(settings.sales.waitlist_poll_ms),
    };
    background.spawn("waitlist", line.run(cancel.clone()));
    let sales = SaleKeeper {
        desk: sale_desk(pool, tools, meter),
        meter: meter.clone(),
    };
    background.spawn("flash-sales", sales.run(cancel.clone()));
    let reconciler = Reconciler {
        desk: drift_desk(pool, tools),
        repair: settings.reconcile_repair,
        chunk: settings.reconcile_chunk_skus,
        rest: Duration::from_millis(settings.reconcile_rest_ms),
    };
    background.spawn("reconciler", reconciler.run(cancel.clone()));
    let keeper = Keeper {
        admission: tools.admission.clone(),
        repair: settings.reconcile_repair,
        refresh: Duration::from_millis(settings.admission.admission_refresh_ms),
        compare: Duration::from_millis(settings.admission.admission_compare_ms),
        stale: Duration::from_millis(settings.admission.admission_stale_ms),
    };
    background.spawn("admission-keeper", keeper.run(cancel.clone()));
    let housekeeper = Housekeeper {
        pool: pool.clone(),
        clock: tools.clock.clone(),
    };
    background.spawn("housekeeper", housekeeper.run(cancel.clone()));
}

/// Without a broker the service still sells: its events wait in the outbox.
async fn topics_ready(kafka: &KafkaSettings, cancel: &CancellationToken) -> bool {
    loop {
        let ensure = ensure_topics(kafka, Some((SERVICE, &[Topic::Order])));
        let outcome = tokio::select! {
            () = cancel.cancelled() => return false,
            outcome = ensure => outcome,
        };
        match outcome {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the topics are not ready");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn relay_when_ready(
    relay: Relay,
    kafka: KafkaSettings,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    if topics_ready(&kafka, &cancel).await {
        relay.run(cancel).await?;
    }
    Ok(())
}

async fn consume(kafka: KafkaSettings, batcher: Batcher, cancel: CancellationToken) -> anyhow::Result<()> {
    if topics_ready(&kafka, &cancel).await {
        let consumer = Consumer::new(&kafka, SERVICE, &[Topic::Order])?;
        consumer.run(OrderCancellations { batcher }, cancel).await?;
    }
    Ok(())
}

fn drift_desk(pool: &PgPool, tools: &Tools) -> DriftDesk {
    DriftDesk {
        pool: pool.clone(),
        clock: Arc::clone(&tools.clock),
        ids: Arc::clone(&tools.ids),
        relay: tools.relay.clone(),
        admission: tools.admission.clone(),
        stock_low_threshold: tools.stock_low_threshold,
    }
}

fn sale_desk(pool: &PgPool, tools: &Tools, meter: &SaleMeter) -> SaleDesk {
    SaleDesk {
        pool: pool.clone(),
        tools: tools.clone(),
        meter: meter.clone(),
    }
}

fn wait_desk(settings: &Settings, pool: &PgPool, tools: &Tools) -> WaitDesk {
    WaitDesk {
        pool: pool.clone(),
        tools: tools.clone(),
        hold: TimeDelta::seconds(settings.sales.waitlist_hold_seconds),
        patience: TimeDelta::seconds(settings.sales.waitlist_patience_seconds),
    }
}

fn state(
    settings: &Settings,
    pool: &PgPool,
    tools: &Tools,
    (batcher, meter): (Batcher, SaleMeter),
) -> anyhow::Result<AppState> {
    let sales = &settings.sales;
    let heartbeat = Duration::from_millis(sales.stream_heartbeat_ms);
    let bounds = StreamBounds {
        per_watcher: sales.streams_per_user_max,
        in_all: sales.streams_max,
    };
    let relay: RelayHandle = tools.relay.clone();
    let issuer = TokenIssuer::load(SERVICE, &settings.auth, Arc::clone(&tools.clock))?;
    let timeout = Duration::from_millis(settings.catalog_timeout_ms);
    Ok(AppState {
        desk: StockDesk {
            pool: pool.clone(),
            clock: Arc::clone(&tools.clock),
            ids: Arc::clone(&tools.ids),
            relay,
            admission: tools.admission.clone(),
            stock_low_threshold: tools.stock_low_threshold,
        },
        drift: drift_desk(pool, tools),
        ownership: Ownership {
            pool: pool.clone(),
            catalog: CatalogClient::new(&settings.catalog_url, issuer, timeout)?,
        },
        holds: HoldDesk {
            pool: pool.clone(),
            clock: Arc::clone(&tools.clock),
            batcher: batcher.clone(),
            meter: meter.clone(),
            lasts: HoldSeconds::new(settings.customer_hold_seconds)?,
        },
        batcher,
        sales: sale_desk(pool, tools, &meter),
        waitlist: wait_desk(settings, pool, tools),
        meter,
        streams: Streams::new(bounds, heartbeat),
        admission: tools.admission.clone(),
        pool: pool.clone(),
        clock: Arc::clone(&tools.clock),
        ids: Arc::clone(&tools.ids),
        hold_default: HoldSeconds::new(settings.hold_seconds_default)?,
    })
}

fn readiness(pool: &PgPool) -> Readiness {
    let pool = pool.clone();
    Readiness::new(vec![Check::new("postgresql", move || {
        let pool = pool.clone();
        async move { ferrocart_pg_kit::ping(&pool).await }
    })])
}

async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    ferrocart_pg_kit::migrate(pool, &MIGRATOR)
        .await
        .context("bringing the database up to date")
}

/// The binary's commands.
#[derive(Debug)]
pub struct Inventory;

impl ServiceMain for Inventory {
    const NAME: &'static str = SERVICE;
    const DEFAULTS: &'static str = DEFAULTS;
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        settings.validate()
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        openapi::document()
    }

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = ferrocart_pg_kit::connect(&settings.pg, SERVICE).context("database_url")?;
        migrate(&pool).await
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        let application = Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        application.run_until_stopped(cancel).await
    }
}
