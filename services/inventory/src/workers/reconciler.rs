use std::time::{Duration, Instant};

use ferrocart_pg_kit::StoreError;
use ferrocart_types::SkuId;
use tokio_util::sync::CancellationToken;

use crate::app::{DriftDesk, Outcome, Report};
use crate::domain::{LedgerSums, Standing};
use crate::store::{self, Looked};

/// Ledger rows of one SKU that are added up again and again before their sum is kept.
const TAIL_MAX: i64 = 1_000;
/// The reconciler rests so many times longer than it worked: it takes a tenth of one connection at most.
const REST_FACTOR: u32 = 9;
const REST_MAX: Duration = Duration::from_secs(30);

/// Walks all SKUs, again and again, and compares counters, ledger and reservations.
pub(crate) struct Reconciler {
    pub(crate) desk: DriftDesk,
    /// Whether what is found is repaired, or only told.
    pub(crate) repair: bool,
    pub(crate) chunk: i64,
    /// The shortest rest between two chunks.
    pub(crate) rest: Duration,
}

/// One walk over all SKUs.
struct Walk {
    after: Option<SkuId>,
    drifted: u32,
    started: Instant,
}

impl Walk {
    fn start() -> Self {
        Self {
            after: None,
            drifted: 0,
            started: Instant::now(),
        }
    }
}

impl Reconciler {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut walk = Walk::start();
        while !cancel.is_cancelled() {
            let started = Instant::now();
            match self.step(&mut walk, &cancel).await {
                Ok(true) => {
                    metrics::gauge!("inventory_drifted_skus").set(f64::from(walk.drifted));
                    metrics::histogram!("inventory_reconcile_walk_seconds").record(walk.started.elapsed());
                    walk = Walk::start();
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the stock could not be reconciled"),
            }
            let rest = (started.elapsed() * REST_FACTOR).clamp(self.rest, REST_MAX.max(self.rest));
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        Ok(())
    }

    /// The next chunk. Answers whether it was the last.
    async fn step(&self, walk: &mut Walk, cancel: &CancellationToken) -> Result<bool, StoreError> {
        let looked = {
            let mut conn = self.desk.pool.acquire().await?;
            let looked = store::look_at(&mut conn, walk.after, self.chunk).await?;
            let long: Vec<(SkuId, LedgerSums)> = looked
                .iter()
                .filter(|looked| looked.tail > TAIL_MAX)
                .map(|looked| (looked.sku, looked.standing.ledger))
                .collect();
            if !long.is_empty() {
                store::keep_sums(&mut conn, &long).await?;
            }
            looked
        };
        for Looked { sku, standing, .. } in &looked {
            if !standing.in_order() && !cancel.is_cancelled() {
                walk.drifted += u32::from(self.settle(*sku).await?);
            }
        }
        walk.after = looked.last().map(|looked| looked.sku);
        Ok(i64::try_from(looked.len()).is_ok_and(|count| count < self.chunk))
    }

    /// Answers whether the SKU had drifted.
    async fn settle(&self, sku: SkuId) -> Result<bool, StoreError> {
        if !self.repair {
            let report = self.desk.report(sku).await?;
            let found = report.filter(|report| !report.standing.in_order());
            if let Some(report) = &found {
                count(&report.standing);
                tracing::warn!(sku.id = %sku, explanation = report.explanation, "stock has drifted");
            }
            return Ok(found.is_some());
        }
        match self.desk.repair(sku).await? {
            Outcome::InOrder => return Ok(false),
            Outcome::Repaired(Report {
                standing,
                explanation,
            }) => {
                count(&standing);
                metrics::counter!("inventory_drift_repaired_total").increment(1);
                tracing::warn!(sku.id = %sku, explanation, "stock had drifted and was repaired");
            }
            Outcome::BeyondRepair(Report {
                standing,
                explanation,
            }) => {
                count(&standing);
                tracing::error!(sku.id = %sku, explanation, "stock has drifted beyond repair");
            }
        }
        Ok(true)
    }
}

fn count(standing: &Standing) {
    for (what, in_order) in [
        ("on_hand", standing.on_hand_in_order()),
        ("reserved", standing.reserved_in_order()),
        ("version", standing.version_in_order()),
    ] {
        if !in_order {
            metrics::counter!("inventory_drift_total", "counter" => what).increment(1);
        }
    }
}
