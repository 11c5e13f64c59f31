use std::collections::{BTreeSet, HashMap};

use ferrocart_pg_kit::StoreError;
use ferrocart_types::{OrderId, SkuId, Timestamp};
use sqlx::PgConnection;

use crate::app::{Actor, Book};
use crate::batcher::Tools;
use crate::batcher::cache::StockCache;
use crate::batcher::lane::{BatchKind, Decided};
use crate::domain::{Ask, Counters, OutOfBounds, Refused, Reservation, Shortage, Verdict, grant};
use crate::store;

/// A request to reserve, and who makes it.
#[derive(Debug, Clone)]
pub struct Reserve {
    pub ask: Ask,
    pub actor: Actor,
}

pub(super) struct Reserves;

impl BatchKind for Reserves {
    const NAME: &'static str = "reserve";
    type Request = Reserve;
    type Answer = Verdict;

    fn count(verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Granted(_) => "granted",
            Verdict::Existing(_) => "existing",
            Verdict::Refused(Refused::Insufficient(_)) => "insufficient",
            Verdict::Refused(_) => "refused",
        };
        metrics::counter!("inventory_reserve_total", "outcome" => outcome).increment(1);
    }

    fn shortages(verdict: &Verdict) -> &[Shortage] {
        match verdict {
            Verdict::Refused(Refused::Insufficient(shortages)) => shortages,
            _ => &[],
        }
    }

    /// Good only if everything is granted. Orders that were here before are found out by the primary key,
    /// and everything else by the SKUs' versions; both send the batch to the exact path.
    fn guess(tools: &Tools, cache: &StockCache, requests: &[&Reserve]) -> Option<Decided<Verdict>> {
        let stock = cache.all(skus(requests).into_iter())?;
        let decided = decide_from(tools, &stock, HashMap::new(), requests, tools.clock.now()).ok()?;
        let refused = decided
            .answers
            .iter()
            .any(|verdict| matches!(verdict, Verdict::Refused(_)));
        (!refused).then_some(decided)
    }

    async fn decide(
        tools: &Tools,
        conn: &mut PgConnection,
        requests: &[&Reserve],
    ) -> Result<Decided<Verdict>, StoreError> {
        let skus: Vec<SkuId> = skus(requests).into_iter().collect();
        let stock = store::lock_stock(conn, &skus).await?;
        // Looked up under the locks: a batch that was cut off before has ended by now, one way or the other.
        let orders: Vec<OrderId> = requests.iter().map(|request| request.ask.order_id).collect();
        let known = store::find(conn, &orders).await?;
        decide_from(tools, &stock, known, requests, tools.clock.now()).map_err(|error| StoreError::Corrupt {
            table: "stock",
            column: "reserved",
            row: error.sku.to_string(),
            reason: error.to_string(),
        })
    }
}

/// The SKUs of all requests, in order.
fn skus(requests: &[&Reserve]) -> BTreeSet<SkuId> {
    let lines = requests.iter().flat_map(|request| request.ask.lines.iter());
    lines.map(|line| line.sku).collect()
}

fn decide_from(
    tools: &Tools,
    stock: &HashMap<SkuId, Counters>,
    mut known: HashMap<OrderId, Reservation>,
    requests: &[&Reserve],
    now: Timestamp,
) -> Result<Decided<Verdict>, OutOfBounds> {
    let mut available: HashMap<SkuId, i64> = stock
        .iter()
        .filter(|(_, counters)| !counters.discontinued)
        .map(|(sku, counters)| (*sku, counters.available()))
        .collect();
    let asks = requests.iter().map(|request| &request.ask);
    let answers = grant(&mut available, &mut known, asks, now);
    let mut book = Book::open(&tools.ids, now, tools.stock_low_threshold, stock);
    for (request, verdict) in requests.iter().zip(&answers) {
        if let Verdict::Granted(reservation) = verdict {
            book.grant(reservation, &request.actor)?;
        }
    }
    let (changes, stock) = book.close();
    Ok(Decided {
        answers,
        changes,
        stock,
    })
}
