use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferrocart_pg_kit::{StoreError, is_unavailable};
use ferrocart_types::{ProductId, SharedClock, Timestamp};
use metrics::{Counter, counter};
use moka::future::Cache;
use sqlx::PgPool;
use uuid::Uuid;

use super::breaker::Breaker;
use super::rendered::{Found, Rendered};
use super::shared::SharedCache;
use crate::config::CacheSettings;
use crate::domain::{ImageSizes, Product};
use crate::error::CatalogError;
use crate::store;

/// How long PostgreSQL is left alone, while there is something stale to serve, after it failed.
const REST: Duration = Duration::from_secs(1);
/// How long a version written here is remembered; far longer than any load under way.
const FLOOR_TTL: Duration = Duration::from_secs(30);
/// How long the last known answer may be served while nothing better is to be had.
const LAST_KNOWN_TTL: Duration = Duration::from_hours(1);
/// An answer older than a change made here is loaded anew, so many times.
const LOADS_MAX: u32 = 3;
const FLOORS_MAX: u64 = 100_000;
/// What a load of a list found is kept by `fresh`; here it only meets those who waited for it.
const FLIGHT_TTL: Duration = Duration::from_millis(1);
const FLIGHTS_MAX: u64 = 1_000;

/// What a reader gets.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) found: Found,
    /// Since when it has not been confirmed, when no store answers.
    pub(crate) stale_since: Option<Instant>,
}

/// The products as this process reads them.
#[derive(Clone)]
pub(crate) struct ProductCache {
    pool: PgPool,
    pub(super) shared: SharedCache,
    clock: SharedClock,
    images: Arc<ImageSizes>,
    deadline: Duration,
    pub(super) database: Arc<Breaker>,
    pub(super) fresh: Cache<ProductId, Answer>,
    last_known: Cache<ProductId, (Arc<Rendered>, Instant)>,
    floors: Cache<ProductId, i64>,
    /// Lists that are being loaded: those who miss the same products wait for one load.
    pub(super) flights: Cache<Vec<ProductId>, Arc<Vec<Answer>>>,
    pub(super) counted: Arc<Counted>,
}

/// Where reads were answered.
pub(super) struct Counted {
    pub(super) process: Counter,
    pub(super) redis: Counter,
    pub(super) database: Counter,
    pub(super) stale: Counter,
}

impl Counted {
    fn new() -> Self {
        let by = |place: &'static str| counter!("catalog_product_reads_total", "answered_by" => place);
        Self {
            process: by("process"),
            redis: by("redis"),
            database: by("database"),
            stale: by("stale"),
        }
    }
}

impl ProductCache {
    pub(crate) fn new(
        (pool, shared): (PgPool, SharedCache),
        clock: SharedClock,
        images: Arc<ImageSizes>,
        settings: &CacheSettings,
    ) -> Self {
        Self {
            pool,
            shared,
            clock,
            images,
            deadline: settings.read_deadline(),
            database: Arc::new(Breaker::new(REST)),
            // Mostly the same bodies as those of `last_known`.
            fresh: Cache::builder()
                .weigher(|_, answer: &Answer| answer.found.weight())
                .max_capacity(settings.cache_bytes_max)
                .time_to_live(settings.local_ttl())
                .build(),
            last_known: Cache::builder()
                .weigher(|_, (product, _): &(Arc<Rendered>, Instant)| product.weight())
                .max_capacity(settings.cache_bytes_max)
                .time_to_live(LAST_KNOWN_TTL)
                .build(),
            floors: Cache::builder()
                .max_capacity(FLOORS_MAX)
                .time_to_live(FLOOR_TTL)
                .build(),
            flights: Cache::builder()
                .max_capacity(FLIGHTS_MAX)
                .time_to_live(FLIGHT_TTL)
                .build(),
            counted: Arc::new(Counted::new()),
        }
    }

    pub(crate) async fn get(&self, id: ProductId) -> Result<Answer, CatalogError> {
        let loaded_here = AtomicBool::new(false);
        for _ in 0..LOADS_MAX {
            let answer = self
                .fresh
                .try_get_with(id, async {
                    loaded_here.store(true, Ordering::Relaxed);
                    Box::pin(self.load(id)).await
                })
                .await
                .map_err(|error| answered(&error))?;
            // A load that began before a change made here may end after it.
            if answer.stale_since.is_some() || answer.found.version() >= self.floor(id).await {
                if !loaded_here.load(Ordering::Relaxed) {
                    self.counted.process.increment(1);
                }
                return self.current(answer).await;
            }
            self.fresh.invalidate(&id).await;
        }
        let found = self.read_database(&[id]).await?;
        Ok(Answer {
            found: found.into_iter().next().map_or(Found::Absent, Found::Product),
            stale_since: None,
        })
    }

    async fn load(&self, id: ProductId) -> Result<Answer, CatalogError> {
        let floor = self.floor(id).await;
        if let Some(found) = self.shared.get(&[id]).await.into_iter().next().flatten()
            && found.version() >= floor
        {
            self.counted.redis.increment(1);
            return Ok(self.known(found).await);
        }
        if self.database.is_open()
            && let Some(answer) = self.stale(id).await
        {
            return Ok(answer);
        }
        match self.read_together(&[id]).await {
            Ok(found) => Ok(self
                .known(found.into_iter().next().unwrap_or(Found::Absent))
                .await),
            Err(error) => match self.stale(id).await {
                Some(answer) => {
                    tracing::warn!(
                        error = crate::error::cause_chain(&error),
                        "stale products are served"
                    );
                    Ok(answer)
                }
                None => Err(error),
            },
        }
    }

    pub(super) async fn read_database(&self, ids: &[ProductId]) -> Result<Vec<Arc<Rendered>>, CatalogError> {
        let ids: Vec<Uuid> = ids.iter().map(ProductId::as_uuid).collect();
        let read = store::products::by_ids(&self.pool, &ids);
        let outcome = match tokio::time::timeout(self.deadline, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Database {
                operation: "products.by_ids",
                source: sqlx::Error::PoolTimedOut,
            }),
        };
        match &outcome {
            Ok(_) => self.database.worked(),
            Err(StoreError::Database { source, .. }) if is_unavailable(source) => self.database.failed(),
            Err(_) => {}
        }
        let now = self.clock.now();
        outcome?
            .iter()
            .map(|product| render(product, now, &self.images))
            .collect()
    }

    /// With the prices of now, also when a sale has begun or ended since the answer was kept.
    pub(super) async fn current(&self, answer: Answer) -> Result<Answer, CatalogError> {
        let now = self.clock.now();
        let Found::Product(product) = &answer.found else {
            return Ok(answer);
        };
        if product.is_good_at(now) {
            return Ok(answer);
        }
        let id = product.id;
        let product = product.at(now).map_err(|error| corrupt(id, &error))?;
        let answer = Answer {
            found: Found::Product(Arc::new(product)),
            stale_since: answer.stale_since,
        };
        self.fresh.insert(id, answer.clone()).await;
        Ok(answer)
    }

    pub(super) async fn known(&self, found: Found) -> Answer {
        if let Found::Product(product) = &found {
            self.last_known
                .insert(product.id, (Arc::clone(product), Instant::now()))
                .await;
        }
        Answer {
            found,
            stale_since: None,
        }
    }

    pub(super) async fn stale(&self, id: ProductId) -> Option<Answer> {
        let (product, since) = self.last_known.get(&id).await?;
        // Not even while all stores are away is an answer given that is known to be outdated.
        if product.version < self.floor(id).await {
            return None;
        }
        self.counted.stale.increment(1);
        Some(Answer {
            found: Found::Product(product),
            stale_since: Some(since),
        })
    }

    pub(super) async fn floor(&self, id: ProductId) -> i64 {
        self.floors.get(&id).await.unwrap_or(0)
    }

    /// These products were changed here, and the changes are committed.
    pub(crate) async fn changed(&self, changes: &[(ProductId, i64)]) {
        for (id, version) in changes {
            self.floors
                .entry(*id)
                .and_upsert_with(|floor| {
                    let version = floor.map_or(*version, |floor| floor.into_value().max(*version));
                    std::future::ready(version)
                })
                .await;
            self.fresh.invalidate(id).await;
        }
        if let Err(error) = self.shared.forget_before(changes).await {
            tracing::warn!(%error, "redis was not told of a change; the catalog's events will tell it");
        }
    }
}

fn render(product: &Product, now: Timestamp, images: &ImageSizes) -> Result<Arc<Rendered>, CatalogError> {
    let rendered = Rendered::of(product, now, images).map_err(|error| corrupt(product.id, &error))?;
    Ok(Arc::new(rendered))
}

fn corrupt(id: ProductId, error: &serde_json::Error) -> CatalogError {
    let error = StoreError::Corrupt {
        table: "products",
        column: "*",
        row: id.to_string(),
        reason: error.to_string(),
    };
    error.into()
}

/// One failure that several readers waited for: each is answered for itself, one logged the cause.
pub(super) fn answered(error: &Arc<CatalogError>) -> CatalogError {
    match &**error {
        CatalogError::Store(store) if !store.is_unavailable() => {
            tracing::error!(
                error = crate::error::cause_chain(store),
                "a product could not be read"
            );
            CatalogError::Problem(ferrocart_http_kit::Problem::internal())
        }
        _ => CatalogError::Unavailable,
    }
}
