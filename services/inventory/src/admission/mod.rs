//! Admission: counters in Redis that turn losers away before the database is asked.
//!
//! Redis only admits, PostgreSQL decides. A counter that says too much costs a look at the database; one that says
//! too little hides units, so every way to that is closed: takes are settled, or found when their process has
//! died; commits are told of by version; what is doubtful is built anew, and meanwhile the database decides
//! alone. See `docs/adr` for the whole of it.

mod counter;
mod gate;
mod judge;
mod keeper;
mod post;
mod registry;
mod take;

use std::sync::Arc;

use ferrocart_http_kit::Background;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_redis_kit::{CallError, SharedRedis};
use ferrocart_types::{SharedClock, SkuId};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cache::StockCache;
use crate::domain::Counters;
use crate::store::{self, Changes, StockRow};

pub(crate) use gate::{Gate, hand_out};
pub(crate) use keeper::{Keeper, Look};

use post::Letter;
use registry::{Governed, Registry};

/// A SKU can be spread over so many keys.
pub const SHARDS_MAX: u16 = 64;
/// So many SKUs can have counters: each is looked at every few seconds.
pub const GOVERNED_MAX: i64 = 10_000;

/// The keeper may be connecting at the same time, which leaves every counter doubtful.
const LOAD_TRIES: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Redis(#[from] CallError),
}

/// A SKU's counter, as this process knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub shards: u16,
    /// Whether it admits and refuses; otherwise the database decides alone.
    pub ready: bool,
}

/// The counters. Without Redis there are none in it; what this process remembers of the stock is here always.
#[derive(Clone)]
pub struct Admission {
    stock: Arc<StockCache>,
    engine: Option<Arc<Engine>>,
}

struct Engine {
    redis: SharedRedis,
    pool: PgPool,
    clock: SharedClock,
    registry: Registry,
    letters: mpsc::Sender<Letter>,
}

impl Admission {
    /// No counters.
    pub fn off() -> Self {
        Self {
            stock: Arc::default(),
            engine: None,
        }
    }

    /// Connects in the background.
    pub(crate) fn start(
        redis: SharedRedis,
        pool: PgPool,
        clock: SharedClock,
        background: &mut Background,
        cancel: &CancellationToken,
    ) -> Self {
        let (letters, inbox) = mpsc::channel(post::LETTERS_MAX);
        let engine = Arc::new(Engine {
            redis,
            pool,
            clock,
            registry: Registry::default(),
            letters,
        });
        background.spawn(
            "admission-post",
            post::deliver(Arc::clone(&engine), inbox, cancel.clone()),
        );
        Self {
            stock: Arc::default(),
            engine: Some(engine),
        }
    }

    /// Gives the SKU a counter, spread over `shards` keys, or spreads the one it has anew. It stays until
    /// [`Self::unload`]. Other replicas learn of it within a second; until then they ask the database, which
    /// is no less right. When Redis is away the counter is built once it is back. Nothing, when there is no
    /// stock of the SKU.
    pub async fn load(&self, sku: SkuId, shards: u16) -> Result<Option<Status>, AdmissionError> {
        let Some(engine) = &self.engine else {
            return Ok(None);
        };
        let shards = shards.clamp(1, SHARDS_MAX);
        let mut conn = engine.pool.acquire().await.op("admission.load")?;
        let Some(before) = store::govern(&mut conn, sku, shards, engine.clock.now()).await? else {
            return Ok(None);
        };
        drop(conn);
        // Known before it is built: what is committed from now on is told to it.
        engine.registry.add(sku, shards);
        if before != 0 && before != shards {
            engine.forget(sku, before).await;
        }
        for _ in 0..LOAD_TRIES {
            if let Err(error) = engine.rebuild(sku, "load").await {
                tracing::warn!(sku.id = %sku, %error, "a counter will be built later");
            }
            if self.status(sku).is_some_and(|status| status.ready) {
                break;
            }
        }
        Ok(self.status(sku))
    }

    /// Takes the SKU's counter away.
    pub async fn unload(&self, sku: SkuId) -> Result<(), AdmissionError> {
        let Some(engine) = &self.engine else {
            return Ok(());
        };
        engine.give_up(sku).await
    }

    /// The stock as the last commits of this process left it.
    pub(crate) fn stock(&self) -> Arc<StockCache> {
        Arc::clone(&self.stock)
    }

    /// None when the SKU has no counter.
    pub fn status(&self, sku: SkuId) -> Option<Status> {
        let governed = self.engine.as_ref()?.registry.get(sku)?;
        Some(Status {
            shards: governed.shards,
            ready: governed.ready,
        })
    }

    /// Tells the counters what a commit changed. To be called after every commit that changes stock, with all
    /// that it changed; forgetting it hides units until the next comparison.
    pub fn committed(&self, changes: &Changes) {
        self.committed_rows(&changes.stock);
    }

    pub(crate) fn committed_rows(&self, rows: &[StockRow]) {
        self.stock.learn(rows.iter().map(|row| (row.sku, row.after)));
        let Some(engine) = &self.engine else { return };
        for row in rows {
            if let Some(governed) = engine.registry.get(row.sku) {
                engine.post(
                    row.sku,
                    governed.shards,
                    take::notes(None, &[*row], governed.shards),
                );
            }
        }
    }

    /// Like [`Self::committed`], for those who only know how the SKUs are now: their counters are built anew.
    pub(crate) fn changed(&self, stock: &[(SkuId, Counters)]) {
        self.stock.learn(stock.iter().copied());
        let skus: Vec<SkuId> = stock.iter().map(|(sku, _)| *sku).collect();
        self.doubt(&skus);
    }

    /// The SKUs' counters are built anew.
    pub(crate) fn doubt(&self, skus: &[SkuId]) {
        let Some(engine) = &self.engine else { return };
        for sku in skus {
            engine.registry.doubt(*sku);
        }
    }
}

impl Engine {
    /// Builds the counter from the stock row, under the row's lock: what was committed before is in it, and
    /// what is committed later is told of later.
    async fn rebuild(&self, sku: SkuId, reason: &'static str) -> Result<(), AdmissionError> {
        let Some(before) = self.registry.get(sku) else {
            return Ok(());
        };
        // Nothing is locked for a Redis that is not there.
        self.redis.connect().await?;
        self.redis.ping().await?;
        let mut tx = self.pool.begin().await.op("admission.begin")?;
        let Some(basis) = store::lock_basis(&mut tx, sku).await? else {
            self.registry.remove(sku);
            return Ok(());
        };
        // What is no longer sold has no counter.
        if basis.counters.discontinued {
            tx.rollback().await.op("admission.end")?;
            return self.give_up(sku).await;
        }
        let done = counter::reset(&self.redis, sku, &basis).await;
        tx.rollback().await.op("admission.end")?;
        metrics::counter!("inventory_admission_rebuilds_total", "reason" => reason).increment(1);
        if done? {
            self.registry
                .rebuilt(sku, &before, basis.shards, basis.generation);
        }
        Ok(())
    }

    async fn give_up(&self, sku: SkuId) -> Result<(), AdmissionError> {
        let mut conn = self.pool.acquire().await.op("admission.unload")?;
        let before = store::ungovern(&mut conn, sku).await?;
        drop(conn);
        self.registry.remove(sku);
        if let Some(shards) = before {
            self.forget(sku, shards).await;
        }
        Ok(())
    }

    /// Best effort: what stays behind expires.
    async fn forget(&self, sku: SkuId, shards: u16) {
        if let Err(error) = counter::remove(&self.redis, sku, shards).await {
            tracing::debug!(sku.id = %sku, %error, "a counter stays behind");
        }
    }

    fn post(&self, sku: SkuId, shards: u16, notes: impl IntoIterator<Item = (u16, counter::Note)>) {
        for (shard, note) in notes {
            let letter = Letter {
                sku,
                key: counter::key(sku, shard, shards),
                note,
            };
            if self.letters.try_send(letter).is_err() {
                self.registry.doubt(sku);
            }
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("on", &self.engine.is_some())
            .finish_non_exhaustive()
    }
}
