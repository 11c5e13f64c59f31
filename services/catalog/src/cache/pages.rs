use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ferrocart_pg_kit::{StoreError, is_unavailable};
use metrics::{Counter, counter};
use moka::future::Cache;

use super::breaker::Breaker;
use super::products::answered;
use crate::error::CatalogError;

/// How long PostgreSQL is left alone, while there is something stale to serve, after it failed.
const REST: Duration = Duration::from_secs(1);
/// How long the last known page may be served while nothing better is to be had.
const LAST_KNOWN_TTL: Duration = Duration::from_hours(1);
/// Memory for the pages of one kind, in bytes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What an entry costs beside its rows, in bytes.
const ENTRY_BYTES: usize = 256;

/// A page of a list, and since when it has not been confirmed when PostgreSQL is away.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) rows: Arc<Vec<T>>,
    pub(crate) stale_since: Option<Instant>,
}

impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::clone(&self.rows),
            stale_since: self.stale_since,
        }
    }
}

/// Pages of a list in memory: those who want the same one ask PostgreSQL once, and while it is away they get
/// the last known one. A change made here shows at once ([`Self::changed`]), another replica's within
/// the time to live.
pub(crate) struct Pages<K, T> {
    deadline: Duration,
    database: Arc<Breaker>,
    /// Changes made here. Pages that were read before the latest are not found any more.
    changes: Arc<AtomicU64>,
    fresh: Cache<(u64, K), Listed<T>>,
    last_known: Cache<K, (Arc<Vec<T>>, Instant)>,
    process: Counter,
    database_reads: Counter,
    stale: Counter,
}

impl<K, T> Clone for Pages<K, T> {
    fn clone(&self) -> Self {
        Self {
            deadline: self.deadline,
            database: Arc::clone(&self.database),
            changes: Arc::clone(&self.changes),
            fresh: self.fresh.clone(),
            last_known: self.last_known.clone(),
            process: self.process.clone(),
            database_reads: self.database_reads.clone(),
            stale: self.stale.clone(),
        }
    }
}

impl<K, T> Pages<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// `weight` says about how many bytes a row takes.
    pub(crate) fn new(
        list: &'static str,
        ttl: Duration,
        deadline: Duration,
        weight: fn(&T) -> usize,
    ) -> Self {
        let weigh = move |rows: &Arc<Vec<T>>| {
            let bytes = rows.iter().map(weight).sum::<usize>() + ENTRY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let by = |place: &'static str| counter!("catalog_list_reads_total", "list" => list, "answered_by" => place);
        Self {
            deadline,
            database: Arc::new(Breaker::new(REST)),
            changes: Arc::default(),
            fresh: Cache::builder()
                .weigher(move |_, page: &Listed<T>| weigh(&page.rows))
                .max_capacity(BYTES_MAX)
                .time_to_live(ttl)
                .build(),
            last_known: Cache::builder()
                .weigher(move |_, (rows, _): &(Arc<Vec<T>>, Instant)| weigh(rows))
                .max_capacity(BYTES_MAX)
                .time_to_live(LAST_KNOWN_TTL)
                .build(),
            process: by("process"),
            database_reads: by("database"),
            stale: by("stale"),
        }
    }

    pub(crate) async fn get<F>(&self, key: K, read: F) -> Result<Listed<T>, CatalogError>
    where
        F: Future<Output = Result<Vec<T>, StoreError>> + Send,
    {
        let change = self.changes.load(Ordering::Acquire);
        let mut loaded_here = false;
        let page = self
            .fresh
            .try_get_with((change, key.clone()), async {
                loaded_here = true;
                Box::pin(self.load(key, read)).await
            })
            .await
            .map_err(|error| answered(&error))?;
        if !loaded_here {
            self.process.increment(1);
        }
        Ok(page)
    }

    async fn load<F>(&self, key: K, read: F) -> Result<Listed<T>, CatalogError>
    where
        F: Future<Output = Result<Vec<T>, StoreError>> + Send,
    {
        if self.database.is_open()
            && let Some(page) = self.stale(&key).await
        {
            return Ok(page);
        }
        let outcome = match tokio::time::timeout(self.deadline, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Database {
                operation: "pages",
                source: sqlx::Error::PoolTimedOut,
            }),
        };
        match outcome {
            Ok(rows) => {
                self.database.worked();
                self.database_reads.increment(1);
                let rows = Arc::new(rows);
                self.last_known
                    .insert(key, (Arc::clone(&rows), Instant::now()))
                    .await;
                Ok(Listed {
                    rows,
                    stale_since: None,
                })
            }
            Err(error) => {
                if matches!(&error, StoreError::Database { source, .. } if is_unavailable(source)) {
                    self.database.failed();
                }
                match self.stale(&key).await {
                    Some(page) => {
                        tracing::warn!(
                            error = crate::error::cause_chain(&error),
                            "a stale page is served"
                        );
                        Ok(page)
                    }
                    None => Err(error.into()),
                }
            }
        }
    }

    async fn stale(&self, key: &K) -> Option<Listed<T>> {
        let (rows, since) = self.last_known.get(key).await?;
        self.stale.increment(1);
        Some(Listed {
            rows,
            stale_since: Some(since),
        })
    }

    /// Something was changed here that may belong on any page.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}
