use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ferrocart_pg_kit::StoreError;
use ferrocart_types::SkuId;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::domain::{Lines, SaleId};
use crate::store::{self, SaleCount, Snapshot};

/// The most sales whose requests are counted.
const SALES_MAX: i64 = 1_000;

/// What viewers of a sale are shown.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) snapshot: Snapshot,
    /// Units that found buyers in the last second or so, less those that came back, in all processes; at least 0.
    pub(crate) sold_per_second: i64,
}

/// Counts the requests of sales in this process, and shows what they come to in all. The counts are added up in
/// the database about once a second, never by request.
#[derive(Debug, Clone, Default)]
pub(crate) struct SaleMeter {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counting: RwLock<HashMap<SkuId, Counting>>,
    viewed: Mutex<HashMap<SaleId, watch::Sender<Option<View>>>>,
    last: Mutex<HashMap<SaleId, (Instant, i64)>>,
}

#[derive(Debug)]
struct Counting {
    sale: SaleId,
    admitted: AtomicI64,
    refused: AtomicI64,
}

impl SaleMeter {
    /// A request was answered.
    pub(crate) fn count(&self, lines: &Lines, granted: bool) {
        let counting = self.inner.counting.read().unwrap_or_else(PoisonError::into_inner);
        if counting.is_empty() {
            return;
        }
        for line in lines {
            if let Some(counting) = counting.get(&line.sku) {
                let counter = if granted {
                    &counting.admitted
                } else {
                    &counting.refused
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn view(&self, sale: SaleId) -> watch::Receiver<Option<View>> {
        let mut viewed = lock(&self.inner.viewed);
        let sender = viewed.entry(sale).or_insert_with(|| watch::Sender::new(None));
        sender.subscribe()
    }

    /// Hands the counts over, and looks at what is viewed.
    pub(crate) async fn turn(&self, pool: &PgPool) -> Result<(), StoreError> {
        let mut conn = pool.acquire().await?;
        let counts = self.take();
        if !counts.is_empty()
            && let Err(error) = store::count_requests(&mut conn, &counts).await
        {
            self.give_back(&counts);
            return Err(error);
        }
        let live = store::live_skus(&mut conn, SALES_MAX).await?;
        self.recount(&live);
        let viewed: Vec<SaleId> = {
            let mut viewed = lock(&self.inner.viewed);
            viewed.retain(|_, sender| sender.receiver_count() > 0);
            viewed.keys().copied().collect()
        };
        if viewed.is_empty() {
            lock(&self.inner.last).clear();
            return Ok(());
        }
        for snapshot in store::snapshots(&mut conn, &viewed).await? {
            let sold_per_second = self.rate(&snapshot);
            let viewed = lock(&self.inner.viewed);
            if let Some(sender) = viewed.get(&snapshot.sale.sale) {
                sender.send_replace(Some(View {
                    snapshot,
                    sold_per_second,
                }));
            }
        }
        Ok(())
    }

    fn rate(&self, snapshot: &Snapshot) -> i64 {
        let now = Instant::now();
        let before = lock(&self.inner.last).insert(snapshot.sale.sale, (now, snapshot.sold));
        before.map_or(0, |(at, sold)| per_second(snapshot.sold - sold, now - at))
    }

    fn take(&self) -> Vec<SaleCount> {
        let counting = self.inner.counting.read().unwrap_or_else(PoisonError::into_inner);
        let counts = counting.values().map(|counting| SaleCount {
            sale: counting.sale,
            admitted: counting.admitted.swap(0, Ordering::Relaxed),
            refused: counting.refused.swap(0, Ordering::Relaxed),
        });
        counts
            .filter(|count| (count.admitted, count.refused) != (0, 0))
            .collect()
    }

    fn give_back(&self, counts: &[SaleCount]) {
        let counting = self.inner.counting.read().unwrap_or_else(PoisonError::into_inner);
        for count in counts {
            if let Some(counting) = counting.values().find(|counting| counting.sale == count.sale) {
                counting.admitted.fetch_add(count.admitted, Ordering::Relaxed);
                counting.refused.fetch_add(count.refused, Ordering::Relaxed);
            }
        }
    }

    /// Requests of these sales are counted from now on.
    pub(crate) fn learn(&self, sales: &[(SkuId, SaleId)]) {
        let mut counting = self
            .inner
            .counting
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (sku, sale) in sales {
            counting.entry(*sku).or_insert_with(|| Counting {
                sale: *sale,
                admitted: AtomicI64::new(0),
                refused: AtomicI64::new(0),
            });
        }
    }

    /// A sale that is over is counted once more before it goes: what came in meanwhile is handed over next time.
    fn recount(&self, live: &[(SkuId, SaleId)]) {
        let mut counting = self
            .inner
            .counting
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        counting.retain(|sku, counting| {
            let idle = counting.admitted.load(Ordering::Relaxed) == 0
                && counting.refused.load(Ordering::Relaxed) == 0;
            !idle || live.contains(&(*sku, counting.sale))
        });
        drop(counting);
        self.learn(live);
    }
}

/// More that came back than was sold is nothing sold.
fn per_second(units: i64, elapsed: Duration) -> i64 {
    let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX).max(1);
    units.max(0).saturating_mul(1_000) / elapsed_ms
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_by_the_second_however_long_it_was() {
        assert_eq!(per_second(30, Duration::from_secs(1)), 30);
        assert_eq!(per_second(30, Duration::from_millis(500)), 60);
        assert_eq!(per_second(30, Duration::from_secs(3)), 10);
        assert_eq!(per_second(-4, Duration::from_secs(1)), 0);
        assert_eq!(per_second(1, Duration::ZERO), 1_000);
    }
}
