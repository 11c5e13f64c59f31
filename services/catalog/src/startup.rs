use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferrocart_config::ConfigError;
use ferrocart_contracts::Topic;
use ferrocart_http_kit::{Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenVerifier};
use ferrocart_kafka_kit::{Consumer, KafkaSettings, Relay, ensure_topics};
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_pg_kit::{connect, connect_for_batches, migrate, ping};
use ferrocart_redis_kit::Redis;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{ProductId, SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::app::Catalog;
use crate::cache::{CategoryCache, Pages, ProductCache, SharedCache};
use crate::config::{DEFAULTS, Settings};
use crate::consumers::cache_repair::{self, CacheRepair};
use crate::consumers::order_delivered::{self, Deliveries};
use crate::store::reviews::Review;
use crate::{openapi, routes, workers};

const NAME: &str = "catalog";
/// Connections for reading prices, besides the pool's.
const PRICE_CONNECTIONS: u32 = 3;
/// How long to wait before Kafka is asked again for what could not be set up.
const KAFKA_RETRY: Duration = Duration::from_secs(1);

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// For `main`.
pub struct CatalogService;

impl ServiceMain for CatalogService {
    const NAME: &'static str = NAME;
    const DEFAULTS: &'static str = DEFAULTS;
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        settings.validate()
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        openapi::Document::openapi()
    }

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = connect(&settings.pg, NAME).context("database_url")?;
        migrate(&pool, &MIGRATOR).await.context("migrating the database")
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds))
            .await?
            .run_until_stopped(cancel)
            .await
    }
}

/// The service, bound to its port and not yet serving.
pub struct Application {
    server: Server,
    parts: ServerParts,
    catalog: Catalog,
    shared: SharedCache,
    relay: Relay,
    kafka: KafkaSettings,
}

impl Application {
    /// Brings the database up to date and binds the port.
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        let server = Server::bind(&settings.http)?;
        let pool = connect(&settings.pg, NAME).context("database_url")?;
        migrate(&pool, &MIGRATOR)
            .await
            .context("migrating the database")?;
        let prices = connect_for_batches(&settings.pg, NAME, PRICE_CONNECTIONS).context("database_url")?;
        let redis = Redis::new(&settings.redis).context("redis_url")?;
        let shared = SharedCache::new(redis, settings.cache.cache_shared_ttl_seconds);
        let relay = Relay::new(pool.clone(), &settings.kafka, NAME);
        let images = Arc::new(settings.images()?);
        let (ttl, read_deadline) = (settings.cache.local_ttl(), settings.cache.read_deadline());
        let catalog = Catalog {
            publisher: Publisher::new(NAME, Arc::clone(&clock), Arc::clone(&ids)),
            ids,
            relay: relay.handle(),
            products: ProductCache::new(
                (pool.clone(), shared.clone()),
                Arc::clone(&clock),
                Arc::clone(&images),
                &settings.cache,
            ),
            categories: CategoryCache::new(pool.clone(), ttl, read_deadline),
            product_pages: Pages::new("products", ttl, read_deadline, |_| size_of::<ProductId>()),
            review_pages: Pages::new("reviews", ttl, read_deadline, Review::bytes),
            imports: Arc::new(Semaphore::new(settings.import_concurrency_max)),
            exports: Arc::new(Semaphore::new(settings.export_concurrency_max)),
            import_idle_timeout: settings.import_idle_timeout(),
            read_deadline,
            reviews_need_approval: settings.reviews_need_approval,
            images,
            clock,
            pool: pool.clone(),
            prices,
        };
        let parts = ServerParts {
            service: NAME,
            readiness: readiness(&pool),
            openapi: openapi::Document::openapi(),
            verifier: Some(TokenVerifier::load(NAME, &settings.auth)?),
            public_paths: &[],
        };
        Ok(Self {
            server,
            parts,
            catalog,
            shared,
            relay,
            kafka: settings.kafka,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// Serves until the token is cancelled: first the requests under way end, then the work behind them.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let http_stop = cancel.child_token();
        let work_stop = CancellationToken::new();
        let work = background(&self.catalog, self.shared, self.relay, &self.kafka, &work_stop);
        let catalog = self.catalog;
        let http = async {
            let outcome = self
                .server
                .run(
                    self.parts,
                    move |config| routes::configure(config, &catalog),
                    http_stop.clone(),
                )
                .await;
            work_stop.cancel();
            outcome
        };
        let work = async {
            let outcome = work.run(work_stop.clone()).await;
            http_stop.cancel();
            outcome
        };
        let (http, work) = tokio::join!(http, work);
        http.and(work)
    }
}

/// Redis is a cache: without it the service is slower, and ready. Kafka is waited for by the outbox.
fn readiness(pool: &PgPool) -> Readiness {
    let pool = pool.clone();
    Readiness::new(vec![Check::new("postgresql", move || {
        let pool = pool.clone();
        async move { ping(&pool).await }
    })])
}

fn background(
    catalog: &Catalog,
    shared: SharedCache,
    relay: Relay,
    kafka: &KafkaSettings,
    cancel: &CancellationToken,
) -> Background {
    let mut background = Background::new();
    let (settings, stop) = (kafka.clone(), cancel.clone());
    background.spawn("relay", async move {
        topics(&settings, None, &stop).await;
        relay.run(stop).await
    });
    let deliveries = Deliveries {
        pool: catalog.pool.clone(),
        clock: Arc::clone(&catalog.clock),
    };
    let (settings, stop) = (kafka.clone(), cancel.clone());
    background.spawn("order-events", async move {
        topics(&settings, Some((order_delivered::GROUP, &[Topic::Order])), &stop).await;
        Consumer::new(&settings, order_delivered::GROUP, &[Topic::Order])?
            .run(deliveries, stop)
            .await
    });
    let (settings, stop) = (kafka.clone(), cancel.clone());
    background.spawn("cache-repair", async move {
        topics(&settings, Some((cache_repair::GROUP, &[Topic::Catalog])), &stop).await;
        Consumer::new(&settings, cache_repair::GROUP, &[Topic::Catalog])?
            .run_batches(CacheRepair { shared }, cache_repair::BATCH_MAX, stop)
            .await
    });
    background.spawn(
        "prune",
        workers::prune::run(catalog.pool.clone(), Arc::clone(&catalog.clock), cancel.clone()),
    );
    background.spawn("reprice", workers::reprice::run(catalog.clone(), cancel.clone()));
    background
}

/// Waits until the topics exist, however long Kafka is away: the catalog is read without it.
async fn topics(settings: &KafkaSettings, group: Option<(&str, &[Topic])>, cancel: &CancellationToken) {
    loop {
        let outcome = tokio::select! {
            () = cancel.cancelled() => return,
            outcome = ensure_topics(settings, group) => outcome,
        };
        let Err(error) = outcome else { return };
        tracing::warn!(error = format!("{error:#}"), "kafka is not ready; trying on");
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(KAFKA_RETRY) => {}
        }
    }
}
