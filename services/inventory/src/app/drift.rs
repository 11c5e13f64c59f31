use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{SharedClock, SharedIds, SkuId};
use sqlx::{PgConnection, PgPool};

use crate::admission::Admission;
use crate::app::book::{Actor, Book, Correction};
use crate::domain::{OrderGap, Standing};
use crate::store;

/// The most orders that an explanation names, and that a repair corrects one by one.
const GAPS_NAMED: i64 = 5;
const GAPS_CORRECTED: i64 = 500;

/// Finds out whether the records of a SKU agree, and makes them.
#[derive(Clone)]
pub(crate) struct DriftDesk {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) relay: RelayHandle,
    pub(crate) admission: Admission,
    pub(crate) stock_low_threshold: i64,
}

/// What the records say, and why.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) standing: Standing,
    pub(crate) explanation: String,
}

/// What became of a SKU that looked wrong.
#[derive(Debug)]
pub(crate) enum Outcome {
    InOrder,
    Repaired(Report),
    /// More is promised than there is.
    BeyondRepair(Report),
}

impl DriftDesk {
    /// None when there is no stock of the SKU.
    pub(crate) async fn report(&self, sku: SkuId) -> Result<Option<Report>, StoreError> {
        run_tx(&self.pool, "drift.report", |conn| {
            Box::pin(async move {
                let Some(standing) = store::look_closely(conn, sku).await? else {
                    return Ok(None);
                };
                let gaps = gaps(conn, sku, &standing, GAPS_NAMED).await?;
                let explanation = standing.explain(&gaps);
                Ok(Some(Report {
                    standing,
                    explanation,
                }))
            })
        })
        .await
    }

    /// Looks again under the SKU's lock, where nothing moves, and repairs what is wrong.
    pub(crate) async fn repair(&self, sku: SkuId) -> Result<Outcome, StoreError> {
        let outcome = run_tx(&self.pool, "drift.repair", |conn| {
            let desk = self.clone();
            Box::pin(async move { desk.repair_in(conn, sku).await })
        })
        .await?;
        self.relay.poke();
        if matches!(outcome, Outcome::Repaired(_)) {
            self.admission.doubt(&[sku]);
        }
        Ok(outcome)
    }

    async fn repair_in(&self, conn: &mut PgConnection, sku: SkuId) -> Result<Outcome, StoreError> {
        let now = self.clock.now();
        let stock = store::lock_stock(conn, &[sku]).await?;
        let Some(standing) = store::look_closely(conn, sku).await? else {
            return Ok(Outcome::InOrder);
        };
        // The kept sums are what may have been wrong.
        store::keep_sums(conn, &[(sku, standing.ledger)]).await?;
        if standing.in_order() {
            return Ok(Outcome::InOrder);
        }
        let gaps = gaps(conn, sku, &standing, GAPS_CORRECTED).await?;
        let named = usize::try_from(GAPS_NAMED).unwrap_or_default().min(gaps.len());
        let explanation = standing.explain(gaps.get(..named).unwrap_or_default());
        let report = Report {
            standing,
            explanation,
        };
        let Some(target) = standing.repaired() else {
            return Ok(Outcome::BeyondRepair(report));
        };
        let mut corrections: Vec<Correction> = gaps
            .iter()
            .map(|gap| Correction {
                order_id: Some(gap.order_id),
                on_hand: 0,
                reserved: gap.open - gap.ledger,
                reason: format!("the order holds {}, not {}", gap.open, gap.ledger),
            })
            .collect();
        let by_orders: i64 = corrections.iter().map(|correction| correction.reserved).sum();
        // Even when only a counter was wrong, its history says that it was.
        corrections.push(Correction {
            order_id: None,
            on_hand: target.on_hand - standing.ledger.on_hand,
            reserved: target.reserved - standing.ledger.reserved - by_orders,
            reason: report.explanation.clone(),
        });
        let mut book = Book::open(&self.ids, now, self.stock_low_threshold, &stock);
        let actor = Actor {
            name: "reconciler".to_owned(),
            traceparent: None,
        };
        book.reconcile(sku, target, corrections, &actor);
        let (changes, _) = book.close();
        store::apply(conn, &changes, now).await?;
        Ok(Outcome::Repaired(report))
    }
}

/// Looked for only when there are some: it goes through the SKU's whole ledger.
async fn gaps(
    conn: &mut PgConnection,
    sku: SkuId,
    standing: &Standing,
    limit: i64,
) -> Result<Vec<OrderGap>, StoreError> {
    if standing.open == standing.ledger.reserved {
        return Ok(Vec::new());
    }
    store::order_gaps(conn, sku, limit).await
}
