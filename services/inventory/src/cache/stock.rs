use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ferrocart_types::{OrderId, SkuId, Timestamp};

use crate::domain::{Ask, Counters, Shortage};

/// The most SKUs remembered; at about 100 bytes each.
const SKUS_MAX: usize = 100_000;
/// For how long it is believed that a SKU is sold out without asking the database again: what another
/// replica releases is sold here after so long at the latest.
const HINT_LIFE: Duration = Duration::from_millis(40);
/// An order this young was not here before, unless it was here in this process: its caller would still wait
/// for the first answer. Clocks may be apart by as much in either direction.
const NEW_FOR: TimeDelta = TimeDelta::seconds(1);
/// How long granted orders are remembered at least: as long as they may look new.
const GRANTS_FOR: Duration = Duration::from_secs(3);
/// The most granted orders remembered in one such time.
const GRANTS_MAX: usize = 250_000;

/// The counters of SKUs as the last commit of this process left them: a guess from which the fast path
/// starts, and which the database checks by version. A wrong guess costs a round trip. While it is
/// fresh it also says what is sold out, so that a crowd is turned away without asking the database.
#[derive(Debug, Default)]
pub(crate) struct StockCache {
    stock: Mutex<HashMap<SkuId, Known>>,
    grants: Mutex<Grants>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    counters: Counters,
    /// Until when it is believed without a look.
    fresh_until: Instant,
}

impl StockCache {
    /// The counters of all these SKUs, or nothing.
    pub(crate) fn all(&self, skus: impl Iterator<Item = SkuId>) -> Option<HashMap<SkuId, Counters>> {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        skus.map(|sku| stock.get(&sku).map(|known| (sku, known.counters)))
            .collect()
    }

    /// Lanes commit side by side and learn in any order: the newer version wins.
    pub(crate) fn learn(&self, seen: impl ExactSizeIterator<Item = (SkuId, Counters)>) {
        let fresh_until = Instant::now() + HINT_LIFE;
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() + seen.len() > SKUS_MAX {
            stock.clear();
        }
        for (sku, counters) in seen {
            let now = Known {
                counters,
                fresh_until,
            };
            let known = stock.entry(sku).or_insert(now);
            if known.counters.version <= counters.version {
                *known = now;
            }
        }
    }

    /// These orders were granted.
    pub(crate) fn granted(&self, orders: impl Iterator<Item = OrderId>) {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.add(orders, Instant::now());
    }

    /// The lines of which there is surely not enough. Of nothing when the request may be a retry of one that
    /// was granted, which must get its first answer. The first request after a hint's end passes, to see
    /// how things are; the others believe it until that one is back.
    pub(crate) fn shortages(&self, ask: &Ask, now: Timestamp) -> Option<Vec<Shortage>> {
        let moment = Instant::now();
        let shortages = {
            let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
            let mut shortages = Vec::new();
            for line in &ask.lines {
                let Some(known) = stock.get_mut(&line.sku) else {
                    continue;
                };
                let available = known.counters.available();
                if known.counters.discontinued || available >= line.units() {
                    continue;
                }
                if known.fresh_until <= moment {
                    known.fresh_until = moment + HINT_LIFE;
                    return None;
                }
                shortages.push(Shortage {
                    sku: line.sku,
                    requested: line.units(),
                    available,
                });
            }
            shortages
        };
        (!shortages.is_empty() && self.is_new(ask.order_id, now)).then_some(shortages)
    }

    /// Whether the order was surely not here before, at this replica or another.
    fn is_new(&self, order: OrderId, now: Timestamp) -> bool {
        is_young(order, now)
            && !self
                .grants
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(order)
    }
}

/// The age of an order is in its UUIDv7. Of another kind of id nothing is known.
fn is_young(order: OrderId, now: Timestamp) -> bool {
    let Some(made) = order.as_uuid().get_timestamp() else {
        return false;
    };
    let (seconds, nanos) = made.to_unix();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_timestamp(seconds, nanos))
        .is_some_and(|made| (now - made).abs() <= NEW_FOR)
}

/// Orders that were granted a moment ago, in two generations of which the older is forgotten.
#[derive(Debug, Default)]
struct Grants {
    now: HashSet<OrderId>,
    before: HashSet<OrderId>,
    since: Option<Instant>,
}

impl Grants {
    fn add(&mut self, orders: impl Iterator<Item = OrderId>, moment: Instant) {
        let since = *self.since.get_or_insert(moment);
        if moment.duration_since(since) >= GRANTS_FOR || self.now.len() >= GRANTS_MAX {
            self.before = std::mem::take(&mut self.now);
            self.since = Some(moment);
        }
        self.now.extend(orders);
    }

    fn contains(&self, order: OrderId) -> bool {
        self.now.contains(&order) || self.before.contains(&order)
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{IdGen as _, Quantity, SystemClock, SystemIds};
    use uuid::Uuid;

    use super::*;

    fn counters(version: i64, on_hand: i64) -> Counters {
        Counters {
            on_hand,
            version,
            ..Counters::EMPTY
        }
    }

    fn ask(order: Uuid, sku: SkuId, units: i64) -> Ask {
        use crate::domain::Lines;
        Ask {
            order_id: OrderId(order),
            buyer: None,
            lines: Lines::sum_up(&[(sku, Quantity::new(units).unwrap())]).unwrap(),
            expires_at: now(),
        }
    }

    fn now() -> Timestamp {
        use ferrocart_types::Clock as _;
        SystemClock.now()
    }

    #[test]
    fn the_newer_version_wins() {
        let cache = StockCache::default();
        let sku = SkuId(Uuid::from_u128(1));
        cache.learn([(sku, counters(3, 0))].into_iter());
        cache.learn([(sku, counters(2, 0))].into_iter());
        assert_eq!(cache.all([sku].into_iter()).unwrap()[&sku].version, 3);
        let other = SkuId(Uuid::from_u128(2));
        assert!(cache.all([sku, other].into_iter()).is_none());
    }

    #[test]
    fn a_crowd_is_turned_away_and_one_at_a_time_looks_again() {
        let cache = StockCache::default();
        let sku = SkuId(Uuid::from_u128(1));
        let crowd = || cache.shortages(&ask(SystemIds.next(), sku, 2), now());
        assert_eq!(crowd(), None, "nothing is known yet");
        cache.learn([(sku, counters(1, 1))].into_iter());
        let expected = Shortage {
            sku,
            requested: 2,
            available: 1,
        };
        assert_eq!(crowd(), Some(vec![expected]));
        assert_eq!(
            cache.shortages(&ask(SystemIds.next(), sku, 1), now()),
            None,
            "one is left"
        );
        // The hint's end.
        cache.stock.lock().unwrap().get_mut(&sku).unwrap().fresh_until = Instant::now();
        assert_eq!(crowd(), None, "one looks again");
        assert!(crowd().is_some(), "the others wait for what it finds");
        cache.learn([(sku, counters(2, 9))].into_iter());
        assert_eq!(crowd(), None, "units were released");
    }

    #[test]
    fn what_may_be_a_retry_is_never_turned_away() {
        let cache = StockCache::default();
        let sku = SkuId(Uuid::from_u128(1));
        cache.learn([(sku, counters(1, 0))].into_iter());
        let refused = |order| cache.shortages(&ask(order, sku, 1), now()).is_some();
        let granted = SystemIds.next();
        assert!(refused(granted));
        cache.granted([OrderId(granted)].into_iter());
        assert!(!refused(granted), "granted in this process");
        let fresh = SystemIds.next();
        let order = ask(fresh, sku, 1);
        for late in [TimeDelta::seconds(2), TimeDelta::seconds(-2)] {
            let shortages = cache.shortages(&order, now() + late);
            assert_eq!(shortages, None, "may have been granted elsewhere");
        }
        assert!(!refused(Uuid::from_u128(7)), "an id without a time");
    }

    #[test]
    fn grants_are_remembered_long_enough_and_not_for_ever() {
        let [first, second, third] = [1, 2, 3].map(|n| OrderId(Uuid::from_u128(n)));
        let start = Instant::now();
        let mut grants = Grants::default();
        grants.add([first].into_iter(), start);
        grants.add([second].into_iter(), start + GRANTS_FOR);
        assert!(grants.contains(first) && grants.contains(second));
        grants.add([third].into_iter(), start + GRANTS_FOR * 2);
        assert!(!grants.contains(first) && grants.contains(second) && grants.contains(third));
    }
}
