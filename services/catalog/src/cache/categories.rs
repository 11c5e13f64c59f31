use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ferrocart_pg_kit::StoreError;
use moka::future::Cache;
use sqlx::PgPool;

use crate::domain::{CATEGORIES_MAX, CategoryTree};
use crate::store;

/// The tree of categories in memory, read anew every second that it is asked for. The last one known is
/// kept for while PostgreSQL is away.
#[derive(Clone)]
pub(crate) struct CategoryCache {
    pool: PgPool,
    deadline: Duration,
    fresh: Cache<(), Arc<CategoryTree>>,
    last_known: Arc<RwLock<Option<Arc<CategoryTree>>>>,
}

impl CategoryCache {
    pub(crate) fn new(pool: PgPool, ttl: Duration, deadline: Duration) -> Self {
        Self {
            pool,
            deadline,
            fresh: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            last_known: Arc::default(),
        }
    }

    pub(crate) async fn tree(&self) -> Result<Arc<CategoryTree>, Arc<StoreError>> {
        self.fresh
            .try_get_with((), async {
                match self.load().await {
                    Ok(tree) => {
                        let mut last = self.last_known.write().unwrap_or_else(PoisonError::into_inner);
                        *last = Some(Arc::clone(&tree));
                        Ok(tree)
                    }
                    Err(error) => {
                        let last = self.last_known.read().unwrap_or_else(PoisonError::into_inner);
                        last.clone().ok_or(error)
                    }
                }
            })
            .await
    }

    async fn load(&self) -> Result<Arc<CategoryTree>, StoreError> {
        let items = tokio::time::timeout(self.deadline, store::categories::all(&self.pool, CATEGORIES_MAX))
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::Database {
                    operation: "categories.all",
                    source: sqlx::Error::PoolTimedOut,
                })
            })?;
        Ok(Arc::new(CategoryTree::new(items)))
    }

    /// A category was added here.
    pub(crate) async fn changed(&self) {
        self.fresh.invalidate(&()).await;
    }
}
