use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferrocart_pg_kit::{StoreError, is_unavailable};
use ferrocart_types::ProductId;
use metrics::{Counter, counter};
use moka::future::Cache;
use sqlx::PgPool;
use uuid::Uuid;

use super::breaker::Breaker;
use super::rendered::{Found, Rendered};
use super::shared::SharedCache;
use crate::config::CacheSettings;
use crate::domain::Product;
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
    shared: SharedCache,
    deadline: Duration,
    database: Arc<Breaker>,
    fresh: Cache<ProductId, Answer>,
    last_known: Cache<ProductId, (Arc<Rendered>, Instant)>,
    floors: Cache<ProductId, i64>,
    counted: Arc<Counted>,
}

/// Where reads were answered.
struct Counted {
    process: Counter,
    redis: Counter,
    database: Counter,
    stale: Counter,
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
    pub(crate) fn new(pool: PgPool, shared: SharedCache, settings: &CacheSettings) -> Self {
        Self {
            pool,
            shared,
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
                return Ok(answer);
            }
            self.fresh.invalidate(&id).await;
        }
        let found = self.read_database(&[id]).await?;
        Ok(Answer {
            found: found.into_iter().next().map_or(Found::Absent, Found::Product),
            stale_since: None,
        })
    }

    /// Those that exist, in the order asked for; each is looked for like a single one, but all
    /// misses ask Redis and PostgreSQL together.
    pub(crate) async fn get_many(&self, ids: &[ProductId]) -> Result<Vec<Arc<Rendered>>, CatalogError> {
        let mut found: Vec<Option<Arc<Rendered>>> = vec![None; ids.len()];
        let mut missing = Vec::new();
        for (slot, id) in found.iter_mut().zip(ids) {
            match self.fresh.get(id).await {
                Some(answer) if answer.found.version() >= self.floor(*id).await => {
                    self.counted.process.increment(1);
                    if let Found::Product(product) = answer.found {
                        *slot = Some(product);
                    }
                }
                _ => missing.push(*id),
            }
        }
        if !missing.is_empty() {
            let loaded = self.load_many(&missing).await?;
            for (slot, id) in found.iter_mut().zip(ids) {
                if slot.is_none() {
                    *slot = loaded.iter().find(|product| product.id == *id).cloned();
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    async fn load(&self, id: ProductId) -> Result<Answer, CatalogError> {
        let floor = self.floor(id).await;
        if let Some(product) = self.shared.get(&[id]).await.into_iter().next().flatten()
            && product.version >= floor
        {
            self.counted.redis.increment(1);
            return Ok(self.known(Arc::new(product)).await);
        }
        if self.database.is_open()
            && let Some(answer) = self.stale(id).await
        {
            return Ok(answer);
        }
        match self.read_database(&[id]).await {
            Ok(found) => {
                self.counted.database.increment(1);
                self.shared.put(&found).await;
                Ok(match found.into_iter().next() {
                    Some(product) => self.known(product).await,
                    None => Answer {
                        found: Found::Absent,
                        stale_since: None,
                    },
                })
            }
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

    async fn load_many(&self, ids: &[ProductId]) -> Result<Vec<Arc<Rendered>>, CatalogError> {
        let mut loaded = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for (id, shared) in ids.iter().zip(self.shared.get(ids).await) {
            match shared {
                Some(product) if product.version >= self.floor(*id).await => {
                    self.counted.redis.increment(1);
                    loaded.push(Arc::new(product));
                }
                _ => missing.push(*id),
            }
        }
        if !missing.is_empty() {
            match self.read_database(&missing).await {
                Ok(found) => {
                    self.counted
                        .database
                        .increment(u64::try_from(found.len()).unwrap_or(0));
                    self.shared.put(&found).await;
                    loaded.extend(found);
                }
                Err(error) => {
                    // All or an error: a list must not lose items because a store is away.
                    for id in &missing {
                        match self.last_known.get(id).await {
                            Some((product, _)) => loaded.push(product),
                            None => return Err(error),
                        }
                    }
                    self.counted
                        .stale
                        .increment(u64::try_from(missing.len()).unwrap_or(0));
                    return Ok(loaded);
                }
            }
        }
        for product in &loaded {
            let answer = self.known(Arc::clone(product)).await;
            self.fresh.insert(product.id, answer).await;
        }
        Ok(loaded)
    }

    async fn read_database(&self, ids: &[ProductId]) -> Result<Vec<Arc<Rendered>>, CatalogError> {
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
        outcome?.iter().map(render).collect()
    }

    async fn known(&self, product: Arc<Rendered>) -> Answer {
        self.last_known
            .insert(product.id, (Arc::clone(&product), Instant::now()))
            .await;
        Answer {
            found: Found::Product(product),
            stale_since: None,
        }
    }

    async fn stale(&self, id: ProductId) -> Option<Answer> {
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

    async fn floor(&self, id: ProductId) -> i64 {
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
        // Redis cannot know of products that were just created.
        let older: Vec<(ProductId, i64)> = changes
            .iter()
            .copied()
            .filter(|(_, version)| *version > 1)
            .collect();
        if let Err(error) = self.shared.forget_before(&older).await {
            tracing::warn!(%error, "redis was not told of a change; the catalog's events will tell it");
        }
    }
}

fn render(product: &Product) -> Result<Arc<Rendered>, CatalogError> {
    let rendered = Rendered::of(product).map_err(|error| StoreError::Corrupt {
        table: "products",
        column: "*",
        row: product.id.to_string(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(rendered))
}

/// One failure that several readers waited for: each is answered for itself, one logged the cause.
fn answered(error: &Arc<CatalogError>) -> CatalogError {
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
