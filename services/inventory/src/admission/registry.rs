use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use ferrocart_types::SkuId;
use tokio::sync::Notify;

use crate::store::GovernedRow;

/// What this process knows of a SKU's counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Governed {
    pub(super) shards: u16,
    /// Of the counter as it was last met; 0 before that.
    pub(super) generation: i64,
    /// Whether the counter is good, as far as this process knows. Until it is, the database decides alone.
    pub(super) ready: bool,
    /// Grows with every reason for doubt.
    doubts: u64,
}

/// The SKUs that have counters.
#[derive(Debug, Default)]
pub(super) struct Registry {
    skus: RwLock<HashMap<SkuId, Governed>>,
    count: AtomicUsize,
    /// Grows when this process itself changes the list.
    edits: AtomicU64,
    /// Wakes the keeper.
    pub(super) wanted: Notify,
}

impl Registry {
    /// Costs nothing; most of the time there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(super) fn get(&self, sku: SkuId) -> Option<Governed> {
        if self.is_empty() {
            return None;
        }
        self.read(|skus| skus.get(&sku).copied())
    }

    pub(super) fn all(&self) -> Vec<(SkuId, Governed)> {
        self.read(|skus| skus.iter().map(|(sku, governed)| (*sku, *governed)).collect())
    }

    pub(super) fn edits(&self) -> u64 {
        self.edits.load(Ordering::SeqCst)
    }

    /// Takes over the list, unless this process changed it since `edits`, before the list was read. A counter
    /// that somebody else loaded is good until it shows otherwise.
    pub(super) fn refresh(&self, rows: &[GovernedRow], edits: u64) {
        self.write(|skus| {
            if self.edits() != edits {
                return;
            }
            let mut fresh = HashMap::with_capacity(rows.len());
            for row in rows {
                let known = skus.get(&row.sku).filter(|known| known.shards == row.shards);
                fresh.insert(row.sku, known.copied().unwrap_or_else(|| new(row.shards, true)));
            }
            *skus = fresh;
        });
    }

    /// A SKU whose counter is about to be built.
    pub(super) fn add(&self, sku: SkuId, shards: u16) {
        self.write(|skus| {
            self.edits.fetch_add(1, Ordering::SeqCst);
            skus.insert(sku, new(shards, false));
        });
    }

    pub(super) fn remove(&self, sku: SkuId) {
        self.write(|skus| {
            self.edits.fetch_add(1, Ordering::SeqCst);
            skus.remove(&sku);
        });
    }

    /// The counter may be wrong: until it is built anew it admits nobody and refuses nobody.
    pub(super) fn doubt(&self, sku: SkuId) {
        if self.is_empty() {
            return;
        }
        if self.doubt_later(sku) {
            self.wanted.notify_one();
        }
    }

    /// Like [`Self::doubt`], and it has time until the keeper comes by. Answers whether there is a counter.
    pub(super) fn doubt_later(&self, sku: SkuId) -> bool {
        self.write(|skus| match skus.get_mut(&sku) {
            Some(governed) => {
                governed.ready = false;
                governed.doubts += 1;
                true
            }
            None => false,
        })
    }

    pub(super) fn doubt_all(&self) {
        self.write(|skus| {
            for governed in skus.values_mut() {
                governed.ready = false;
                governed.doubts += 1;
            }
        });
    }

    pub(super) fn learn(&self, sku: SkuId, generation: i64) {
        self.write(|skus| {
            if let Some(governed) = skus.get_mut(&sku) {
                governed.generation = governed.generation.max(generation);
            }
        });
    }

    /// The counter was built anew. Not good, if there was another doubt since `before` was read.
    pub(super) fn rebuilt(&self, sku: SkuId, before: &Governed, shards: u16, generation: i64) {
        self.write(|skus| {
            if let Some(governed) = skus.get_mut(&sku) {
                governed.shards = shards;
                governed.generation = generation;
                governed.ready = governed.doubts == before.doubts;
            }
        });
    }

    fn read<T>(&self, look: impl FnOnce(&HashMap<SkuId, Governed>) -> T) -> T {
        look(&self.skus.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut HashMap<SkuId, Governed>) -> T) -> T {
        let mut skus = self.skus.write().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut skus);
        self.count.store(skus.len(), Ordering::Relaxed);
        answer
    }
}

fn new(shards: u16, ready: bool) -> Governed {
    Governed {
        shards,
        generation: 0,
        ready,
        doubts: 0,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_doubt_during_a_rebuild_outlives_it() {
        let registry = Registry::default();
        let sku = SkuId(Uuid::from_u128(1));
        registry.add(sku, 1);
        let before = registry.get(sku).unwrap();
        registry.doubt(sku);
        registry.rebuilt(sku, &before, 1, 7);
        assert!(!registry.get(sku).unwrap().ready);
        let before = registry.get(sku).unwrap();
        registry.rebuilt(sku, &before, 1, 8);
        assert!(registry.get(sku).unwrap().ready);
    }
}
