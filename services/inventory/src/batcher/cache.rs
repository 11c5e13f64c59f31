use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ferrocart_types::SkuId;

use crate::domain::Counters;

/// The most SKUs remembered; at about 100 bytes each.
const SKUS_MAX: usize = 100_000;

/// The counters of SKUs as the last commit of this process left them: a guess from which the fast path
/// starts, and which the database checks by version. A wrong guess costs a round trip.
#[derive(Debug, Default)]
pub(super) struct StockCache {
    stock: Mutex<HashMap<SkuId, Counters>>,
}

impl StockCache {
    /// The counters of all these SKUs, or nothing.
    pub(super) fn all(&self, skus: impl Iterator<Item = SkuId>) -> Option<HashMap<SkuId, Counters>> {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        skus.map(|sku| stock.get(&sku).map(|counters| (sku, *counters)))
            .collect()
    }

    /// Lanes commit side by side and learn in any order: the newer version wins.
    pub(super) fn learn(&self, seen: &[(SkuId, Counters)]) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() + seen.len() > SKUS_MAX {
            stock.clear();
        }
        for (sku, counters) in seen {
            let known = stock.entry(*sku).or_insert(*counters);
            if known.version < counters.version {
                *known = *counters;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn counters(version: i64) -> Counters {
        Counters {
            version,
            ..Counters::EMPTY
        }
    }

    #[test]
    fn the_newer_version_wins() {
        let cache = StockCache::default();
        let sku = SkuId(Uuid::from_u128(1));
        cache.learn(&[(sku, counters(3))]);
        cache.learn(&[(sku, counters(2))]);
        assert_eq!(cache.all([sku].into_iter()).unwrap()[&sku].version, 3);
        let other = SkuId(Uuid::from_u128(2));
        assert!(cache.all([sku, other].into_iter()).is_none());
    }
}
