use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrocart_pg_kit::StoreResultExt;
use ferrocart_types::SkuId;
use tokio_util::sync::CancellationToken;

use crate::admission::judge::{CounterSums, Finding, Shard, judge, sums};
use crate::admission::{Admission, AdmissionError, Engine, GOVERNED_MAX, Governed, counter};
use crate::store;

const REST: Duration = Duration::from_millis(5);
/// How often a counter that does not agree is looked at again before anything is said of it.
const LOOKS_MAX: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// What is wrong stays so, to the unit, in so many looks in a row: two shards are not looked at in the same
/// moment, and what moves is told of later.
const LOOKS_IN_A_ROW: u32 = 3;

/// Looks after the counters: learns which there are, builds doubtful ones anew, and compares all with the
/// table again and again. Every replica has one.
pub(crate) struct Keeper {
    pub(crate) admission: Admission,
    /// Whether a counter that has drifted is repaired, or only told of.
    pub(crate) repair: bool,
    pub(crate) refresh: Duration,
    pub(crate) compare: Duration,
    /// Units that were taken and not settled for so long have nobody who would.
    pub(crate) stale: Duration,
}

/// When this process first saw a take that is not settled.
type Pending = HashMap<(SkuId, String), Instant>;

/// A counter beside the table, for those who ask.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) shards: u16,
    pub(crate) ready: bool,
    pub(crate) sums: Option<CounterSums>,
    pub(crate) in_order: bool,
    /// For a person.
    pub(crate) explanation: String,
}

impl Keeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Some(engine) = self.admission.engine.clone() else {
            cancel.cancelled().await;
            return Ok(());
        };
        let mut pending = Pending::new();
        let mut fresh = true;
        let mut refreshed: Option<Instant> = None;
        let mut compared = Instant::now();
        while !cancel.is_cancelled() {
            if refreshed.is_none_or(|at| at.elapsed() >= self.refresh) {
                refreshed = Some(Instant::now());
                if let Err(error) = engine.refresh().await {
                    tracing::warn!(%error, "the list of counters could not be read");
                }
            }
            engine.mend(&mut fresh, &cancel).await;
            if compared.elapsed() >= self.compare && engine.redis.is_ready() {
                compared = Instant::now();
                if let Err(error) = self.compare_all(&engine, &mut pending, &cancel).await {
                    tracing::warn!(%error, "the counters could not be compared");
                }
            }
            // However much there is to doubt, a row is not locked all the time.
            tokio::time::sleep(REST).await;
            tokio::select! {
                () = cancel.cancelled() => {}
                () = engine.registry.wanted.notified() => {}
                () = tokio::time::sleep(self.refresh) => {}
            }
        }
        Ok(())
    }

    async fn compare_all(
        &self,
        engine: &Arc<Engine>,
        pending: &mut Pending,
        cancel: &CancellationToken,
    ) -> Result<(), AdmissionError> {
        let mut drifted = 0_u32;
        let mut seen = Pending::new();
        for (sku, governed) in engine.registry.all() {
            if cancel.is_cancelled() {
                return Ok(());
            }
            if governed.ready {
                drifted += u32::from(
                    self.compare_one(engine, sku, &governed, pending, &mut seen)
                        .await?,
                );
            }
        }
        *pending = seen;
        metrics::gauge!("inventory_drifted_counters").set(f64::from(drifted));
        Ok(())
    }

    /// Answers whether the counter had drifted.
    async fn compare_one(
        &self,
        engine: &Arc<Engine>,
        sku: SkuId,
        governed: &Governed,
        pending: &Pending,
        seen: &mut Pending,
    ) -> Result<bool, AdmissionError> {
        let Some(compared) = engine.compare(sku, governed).await? else {
            return Ok(false);
        };
        let mut stale = 0;
        for (take, units) in compared.shards.iter().flatten().flat_map(|shard| &shard.takes) {
            let key = (sku, take.clone());
            let first = pending.get(&key).copied().unwrap_or_else(Instant::now);
            if first.elapsed() >= self.stale {
                stale += units;
            }
            seen.insert(key, first);
        }
        let explanation = match compared.finding {
            Finding::InOrder if stale == 0 => return Ok(false),
            Finding::InOrder => format!("{stale} units were taken by a process that never settled them"),
            // Under load there is always something under way. Building it anew is always right.
            Finding::Moving | Finding::Lopsided => {
                if self.repair {
                    engine.renew(sku, "behind").await;
                }
                return Ok(false);
            }
            Finding::Incomplete | Finding::Wrong => compared.explain(),
        };
        metrics::counter!("inventory_drift_total", "counter" => "admission").increment(1);
        if self.repair {
            engine.renew(sku, "drift").await;
            metrics::counter!("inventory_drift_repaired_total").increment(1);
            tracing::warn!(sku.id = %sku, explanation, "a counter had drifted and was built anew");
        } else {
            tracing::warn!(sku.id = %sku, explanation, "a counter has drifted");
        }
        Ok(true)
    }
}

/// A counter and the row that it was compared with.
struct Compared {
    finding: Finding,
    shards: Vec<Option<Shard>>,
    /// By the table.
    available: i64,
}

impl Compared {
    fn explain(&self) -> String {
        let sums = sums(&self.shards);
        let figures = format!(
            "the counter has {} available and {} in flight, the table {}",
            sums.available, sums.in_flight, self.available
        );
        match self.finding {
            Finding::InOrder => "the counter agrees with the table".to_owned(),
            Finding::Incomplete => "the counter, or a shard of it, is gone".to_owned(),
            Finding::Moving => format!("{figures}: commits are under way that it has not been told of"),
            Finding::Wrong => format!("{figures}: it was changed past the service"),
            Finding::Lopsided => format!("{figures}, and a shard has less than nothing"),
        }
    }
}

impl Admission {
    /// How the SKU's counter stands to the table. None when it has none.
    pub(crate) async fn look(&self, sku: SkuId) -> Option<Look> {
        let engine = self.engine.as_ref()?;
        let governed = engine.registry.get(sku)?;
        let mut look = Look {
            shards: governed.shards,
            ready: governed.ready,
            sums: None,
            in_order: false,
            explanation: "redis is away: the database decides alone".to_owned(),
        };
        if engine.redis.is_ready()
            && let Ok(Some(compared)) = engine.compare(sku, &governed).await
        {
            look.explanation = compared.explain();
            look.in_order = compared.finding == Finding::InOrder;
            look.sums = Some(sums(&compared.shards)).filter(|_| compared.finding != Finding::Incomplete);
        }
        Some(look)
    }
}

impl Engine {
    async fn refresh(&self) -> Result<(), AdmissionError> {
        let edits = self.registry.edits();
        let mut conn = self.pool.acquire().await.op("admission.refresh")?;
        let rows = store::governed(&mut conn, GOVERNED_MAX).await?;
        self.registry.refresh(&rows, edits);
        metrics::gauge!("inventory_admission_skus")
            .set(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
        Ok(())
    }

    /// Connects when there is no connection, and builds what is doubtful anew.
    ///
    /// A process that is `fresh` has missed nothing: the counters that it finds are as good as those who kept them.
    async fn mend(&self, fresh: &mut bool, cancel: &CancellationToken) {
        if self.registry.is_empty() {
            return;
        }
        if !self.redis.is_ready() {
            if !*fresh {
                // What happened to the counters meanwhile nobody here knows.
                self.registry.doubt_all();
            }
            *fresh = false;
            if let Err(error) = self.redis.connect().await {
                tracing::debug!(%error, "redis is away: the database decides alone");
                metrics::gauge!("inventory_admission_ready").set(0.0);
                self.registry.doubt_all();
                return;
            }
        }
        let mut ready = 0_u32;
        for (sku, governed) in self.registry.all() {
            if !governed.ready && !cancel.is_cancelled() {
                self.renew(sku, "doubt").await;
            }
            ready += u32::from(self.registry.get(sku).is_some_and(|governed| governed.ready));
        }
        metrics::gauge!("inventory_admission_ready").set(f64::from(ready));
    }

    async fn renew(&self, sku: SkuId, reason: &'static str) {
        if let Err(error) = self.rebuild(sku, reason).await {
            tracing::warn!(sku.id = %sku, %error, "a counter could not be built");
            // Not at once: whatever it is, it may last.
            self.registry.doubt_later(sku);
        }
    }

    /// None when there is no stock of the SKU.
    async fn compare(&self, sku: SkuId, governed: &Governed) -> Result<Option<Compared>, AdmissionError> {
        let mut in_a_row = 0;
        let mut last: Option<Compared> = None;
        for _ in 0..LOOKS_MAX {
            // The row first: a commit in between is then counted in the counter and not in the row, and the
            // versions show it.
            let mut conn = self.pool.acquire().await.op("admission.compare")?;
            let stock = store::read_stock(&mut conn, &[sku]).await?;
            drop(conn);
            let Some(row) = stock.get(&sku) else {
                return Ok(None);
            };
            let shards = counter::look(&self.redis, sku, governed.shards).await?;
            let finding = judge(&shards, row.version, row.available());
            let sure = match finding {
                Finding::InOrder => true,
                Finding::Moving => {
                    in_a_row = 0;
                    false
                }
                Finding::Incomplete | Finding::Wrong | Finding::Lopsided => {
                    let still = last
                        .as_ref()
                        .is_some_and(|last| last.finding == finding && last.shards == shards);
                    in_a_row = if still { in_a_row + 1 } else { 1 };
                    in_a_row >= LOOKS_IN_A_ROW
                }
            };
            last = Some(Compared {
                finding,
                shards,
                available: row.available(),
            });
            if sure {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        // Not sure in the end: something is always under way.
        Ok(last.map(|compared| match compared.finding {
            Finding::Incomplete | Finding::Wrong | Finding::Lopsided if in_a_row < LOOKS_IN_A_ROW => {
                Compared {
                    finding: Finding::Moving,
                    ..compared
                }
            }
            _ => compared,
        }))
    }
}
