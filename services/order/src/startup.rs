use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use ferrocart_config::ConfigError;
use ferrocart_failpoint::Failpoints;
use ferrocart_http_kit::{
    Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenIssuer, TokenVerifier,
};
use ferrocart_kafka_kit::{Consumer, KafkaSettings, Relay, ensure_topics};
use ferrocart_pg_kit::Combiner;
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_redis_kit::{Breaker, Redis};
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::app::{App, AppParts, Beginnings, Peeks, lock_for};
use crate::clients::Clients;
use crate::config::{DEFAULTS, Settings};
use crate::consumers::{self, Events, GROUP, TOPICS};
use crate::openapi::ApiDoc;
use crate::saga::{Driver, DriverParts, Endings, Records};
use crate::snapshots::Snapshots;
use crate::workers::{Housekeeping, Partitions, Recovery};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");
/// How long a saga's step may take to end after the server has stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// Batches of a kind that are under way at once: while one waits for the disk, the next is written.
const LANES: usize = 2;
/// Checkouts that share a transaction at most.
const BATCH_MAX: usize = 64;
/// One for each lane (beginnings, records, keys) and one for events.
const BATCH_CONNECTIONS: u32 = 6;

/// The service for the command line.
#[derive(Debug)]
pub struct Order;

impl ServiceMain for Order {
    const NAME: &'static str = "order";
    const DEFAULTS: &'static str = DEFAULTS;
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

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = ferrocart_pg_kit::connect(&settings.pg, Self::NAME)?;
        migrate(&pool).await
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        let application = Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        application.run_until_stopped(cancel).await
    }
}

async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    ferrocart_pg_kit::migrate(pool, &MIGRATOR)
        .await
        .context("bringing the order database up to date")
}

/// The service, bound to its port and not yet serving.
pub struct Application {
    settings: Settings,
    server: Server,
    verifier: TokenVerifier,
    pool: PgPool,
    batches: PgPool,
    clock: SharedClock,
    app: App,
    driver: Driver,
    relay: Relay,
    wake_worker: Arc<Notify>,
    /// Cancelled once the server has drained.
    stopping: CancellationToken,
}

impl Application {
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        Self::build_with_failpoints(settings, clock, ids, Failpoints::of_process()).await
    }

    /// For tests that stop sagas in the middle.
    pub async fn build_with_failpoints(
        settings: Settings,
        clock: SharedClock,
        ids: SharedIds,
        failpoints: Failpoints,
    ) -> anyhow::Result<Self> {
        let server = Server::bind(&settings.http)?;
        let verifier = TokenVerifier::load(Order::NAME, &settings.auth)?;
        let issuer = TokenIssuer::load(Order::NAME, &settings.auth, Arc::clone(&clock))?;
        let clients = Clients::new(&settings.neighbours, &issuer)?;
        let pool = ferrocart_pg_kit::connect(&settings.pg, Order::NAME)?;
        migrate(&pool).await?;
        let batches = ferrocart_pg_kit::connect_for_batches(&settings.pg, Order::NAME, BATCH_CONNECTIONS)?;
        let publisher = Publisher::new(Order::NAME, Arc::clone(&clock), Arc::clone(&ids));
        let relay = Relay::new(pool.clone(), &settings.kafka, Order::NAME);
        let redis = Redis::new(&settings.redis).context("redis_url")?;
        let snapshots = Snapshots::start(redis, settings.snapshots_keep());
        let records = Records {
            pool: batches.clone(),
            publisher: publisher.clone(),
            relay: relay.handle(),
            snapshots: snapshots.clone(),
            settings: settings.saga.clone(),
        };
        let wake_worker = Arc::new(Notify::new());
        let stopping = CancellationToken::new();
        let driver = Driver::new(DriverParts {
            pool: pool.clone(),
            clients: clients.clone(),
            clock: Arc::clone(&clock),
            records: Combiner::start(records, LANES, BATCH_MAX),
            settings: settings.saga.clone(),
            owner: ids.next(),
            endings: Endings::new(),
            worker: Arc::clone(&wake_worker),
            failpoints,
            cancel: stopping.clone(),
        });
        let beginnings = Beginnings {
            pool: batches.clone(),
            clock: Arc::clone(&clock),
            relay: relay.handle(),
            snapshots: snapshots.clone(),
            lock_for: lock_for(settings.checkout_deadline()),
        };
        let app = App::new(AppParts {
            pool: pool.clone(),
            clients,
            clock: Arc::clone(&clock),
            ids,
            publisher,
            relay: relay.handle(),
            driver: driver.clone(),
            beginnings: Combiner::start(beginnings, LANES, BATCH_MAX),
            peeks: Combiner::start(Peeks::of(&batches), 1, BATCH_MAX),
            snapshots,
            database: Breaker::new(),
            read_timeout: Duration::from_millis(settings.order_read_timeout_ms),
            deadline: settings.checkout_deadline(),
        });
        Ok(Self {
            settings,
            server,
            verifier,
            pool,
            batches,
            clock,
            app,
            driver,
            relay,
            wake_worker,
            stopping,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// Serves until the token is cancelled: requests under way end first, then the sagas at their next
    /// step, then the rest.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let pool = self.pool.clone();
        let readiness = Readiness::new(vec![Check::new("database", move || {
            let pool = pool.clone();
            async move { ferrocart_pg_kit::ping(&pool).await }
        })]);
        let parts = ServerParts {
            service: Order::NAME,
            readiness,
            openapi: ApiDoc::openapi(),
            verifier: Some(self.verifier),
            public_paths: &[],
        };
        let recovery = Recovery {
            pool: self.pool.clone(),
            clock: Arc::clone(&self.clock),
            driver: self.driver.clone(),
            wake: self.wake_worker,
            poll: Duration::from_millis(self.settings.saga.saga_poll_ms),
            concurrency_max: self.settings.saga.saga_concurrency_max,
        };
        let housekeeping = Housekeeping {
            pool: self.pool.clone(),
            clock: Arc::clone(&self.clock),
            keys_keep_hours: self.settings.idempotency_keep_hours,
            inbox_keep_hours: self.settings.inbox_keep_hours,
        };
        let partitions = Partitions {
            pool: self.pool.clone(),
            clock: Arc::clone(&self.clock),
            months_ahead: self.settings.partition_months_ahead,
        };
        let events = Events {
            pool: self.batches,
            clock: self.clock,
            app: self.app.clone(),
            driver: self.driver.clone(),
        };
        let mut background = Background::new();
        background.spawn("saga-recovery", recovery.run(self.stopping.clone()));
        background.spawn("housekeeping", housekeeping.run(self.stopping.clone()));
        background.spawn("partitions", partitions.run(self.stopping.clone()));
        background.spawn(
            "kafka",
            kafka(self.settings.kafka, self.relay, events, self.stopping.clone()),
        );

        let app = web::Data::new(self.app);
        // A background task that fails must stop the server too.
        let serving = cancel.child_token();
        let stop = self.stopping.clone();
        let background = ferrocart_telemetry::spawn("background", {
            let serving = serving.clone();
            async move {
                let outcome = background.run(stop).await;
                serving.cancel();
                outcome
            }
        });
        let configure = move |config: &mut web::ServiceConfig| {
            config.app_data(app.clone());
            crate::routes::configure(config);
        };
        let served = self.server.run(parts, configure, serving).await;
        self.stopping.cancel();
        self.driver.drain(DRAIN).await;
        background.await.context("the background tasks panicked")??;
        served
    }
}

/// Relay and consumer, as soon as the broker is there: orders can be placed and read without it.
async fn kafka(
    settings: KafkaSettings,
    relay: Relay,
    events: Events,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let ready = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            ready = ensure_topics(&settings, Some((GROUP, TOPICS.as_slice()))) => ready,
        };
        match ready {
            Ok(()) => break,
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "kafka is not there: events wait in the outbox"
            ),
        }
    }
    let consumer = Consumer::new(&settings, GROUP, &TOPICS)?;
    let (relayed, consumed) = tokio::join!(
        relay.run(cancel.clone()),
        consumer.run_batches(events, consumers::BATCH_MAX, cancel.clone())
    );
    relayed.and(consumed)
}
