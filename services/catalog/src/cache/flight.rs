//! One replica at a time reads a product from PostgreSQL; the others take what it puts into Redis. Nobody
//! depends on that: a claim ends by itself, and whoever has waited a moment in vain reads for themselves.

use std::collections::HashMap;
use std::time::Duration;

use ferrocart_types::ProductId;

use super::products::ProductCache;
use super::rendered::Found;
use crate::error::CatalogError;

/// How often Redis is asked for what another replica is reading, and how many times.
const ASK_EVERY: Duration = Duration::from_millis(5);
const ASKS_MAX: u32 = 40;

impl ProductCache {
    /// What PostgreSQL has of these, in their order, read here or by another replica just now.
    pub(super) async fn read_together(&self, ids: &[ProductId]) -> Result<Vec<Found>, CatalogError> {
        let claims = self.shared.claim(ids).await;
        let mut found = HashMap::with_capacity(ids.len());
        let (mine, others): (Vec<_>, Vec<_>) = ids.iter().zip(claims).partition(|(_, claimed)| *claimed);
        // First what others may be waiting for.
        let mine: Vec<ProductId> = mine.into_iter().map(|(id, _)| *id).collect();
        self.read_and_share(&mine, &mut found).await?;
        let mut others: Vec<ProductId> = others.into_iter().map(|(id, _)| *id).collect();
        others.retain(|id| !found.contains_key(id));
        self.wait_for(&mut others, &mut found).await;
        self.read_and_share(&others, &mut found).await?;
        let of = |id: &ProductId| found.get(id).cloned().unwrap_or(Found::Absent);
        Ok(ids.iter().map(of).collect())
    }

    async fn read_and_share(
        &self,
        ids: &[ProductId],
        found: &mut HashMap<ProductId, Found>,
    ) -> Result<(), CatalogError> {
        if ids.is_empty() {
            return Ok(());
        }
        let read = self.read_database(ids).await?;
        self.counted
            .database
            .increment(u64::try_from(ids.len()).unwrap_or(0));
        let is_there = |id: &ProductId| read.iter().any(|product| product.id == *id);
        let absent: Vec<ProductId> = ids.iter().copied().filter(|id| !is_there(id)).collect();
        self.shared.put(&read, &absent).await;
        found.extend(absent.into_iter().map(|id| (id, Found::Absent)));
        found.extend(
            read.into_iter()
                .map(|product| (product.id, Found::Product(product))),
        );
        Ok(())
    }

    /// Takes from `ids` what has appeared in Redis.
    async fn wait_for(&self, ids: &mut Vec<ProductId>, found: &mut HashMap<ProductId, Found>) {
        for _ in 0..ASKS_MAX {
            if ids.is_empty() {
                return;
            }
            tokio::time::sleep(ASK_EVERY).await;
            let shared = self.shared.get(ids).await;
            let mut left = Vec::with_capacity(ids.len());
            for (id, shared) in ids.iter().zip(shared) {
                match shared {
                    Some(shared) if shared.version() >= self.floor(*id).await => {
                        self.counted.redis.increment(1);
                        found.insert(*id, shared);
                    }
                    _ => left.push(*id),
                }
            }
            *ids = left;
        }
    }
}
