use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use ferrocart_failpoint::Site;
use ferrocart_pg_kit::StoreError;
use ferrocart_types::{OrderId, SkuId, Timestamp, UserId};
use metrics::Counter;
use sqlx::PgConnection;

use crate::app::{Actor, Book};
use crate::batcher::Tools;
use crate::batcher::lane::{BatchKind, Decided, TicketOf};
use crate::cache::{Recent, StockCache};
use crate::domain::{
    Ask, Counters, OutOfBounds, Refused, Reservation, SaleId, SaleRules, SaleTerms, Shortage, Verdict, grant,
};
use crate::store;

/// A request to reserve, and who makes it.
#[derive(Debug, Clone)]
pub struct Reserve {
    pub ask: Ask,
    pub actor: Actor,
}

/// Looked up once: finding a counter by its labels costs more than counting does.
struct Outcomes {
    granted: Counter,
    existing: Counter,
    insufficient: Counter,
    refused: Counter,
    hinted: Counter,
}

static OUTCOMES: LazyLock<Outcomes> = LazyLock::new(|| {
    let of = |outcome: &'static str| metrics::counter!("inventory_reserve_total", "outcome" => outcome);
    Outcomes {
        granted: of("granted"),
        existing: of("existing"),
        insufficient: of("insufficient"),
        refused: of("refused"),
        hinted: of("hinted"),
    }
});

/// One more was turned away by a hint.
pub(super) fn count_hinted() {
    OUTCOMES.hinted.increment(1);
}

pub(super) struct Reserves;

impl BatchKind for Reserves {
    const NAME: &'static str = "reserve";
    type Request = Reserve;
    type Answer = Verdict;

    fn site(_: &[TicketOf<Self>]) -> Option<Site> {
        Some(Site::InventoryReserve)
    }

    fn count(verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Granted(_) => &OUTCOMES.granted,
            Verdict::Existing(_) => &OUTCOMES.existing,
            Verdict::Refused(Refused::Insufficient(_)) => &OUTCOMES.insufficient,
            Verdict::Refused(_) => &OUTCOMES.refused,
        };
        outcome.increment(1);
    }

    fn shortages(verdict: &Verdict) -> &[Shortage] {
        match verdict {
            Verdict::Refused(Refused::Insufficient(shortages)) => shortages,
            _ => &[],
        }
    }

    /// Good only if everything is granted. Orders that were here before are found out by the primary key,
    /// and everything else by the SKUs' versions; both send the batch to the exact path.
    fn guess(
        tools: &Tools,
        (cache, _): (&StockCache, &Recent),
        requests: &[&Reserve],
    ) -> Option<Decided<Verdict>> {
        let stock = cache.all(skus(requests).into_iter())?;
        if stock.values().any(|counters| counters.sale.is_some()) {
            // What a buyer has in a sale is not remembered.
            return None;
        }
        let known = Known::default();
        let decided = decide_from(tools, &stock, known, requests, tools.clock.now()).ok()?;
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
        let known = Known {
            orders: store::find(conn, &orders).await?,
            rules: rules(conn, &stock, requests).await?,
        };
        decide_from(tools, &stock, known, requests, tools.clock.now()).map_err(|error| StoreError::Corrupt {
            table: "stock",
            column: "reserved",
            row: error.sku.to_string(),
            reason: error.to_string(),
        })
    }
}

/// What stands in the way of requests besides the stock.
#[derive(Default)]
struct Known {
    orders: HashMap<OrderId, Reservation>,
    rules: SaleRules,
}

/// Read under the SKUs' locks, under which it is also changed.
async fn rules(
    conn: &mut PgConnection,
    stock: &HashMap<SkuId, Counters>,
    requests: &[&Reserve],
) -> Result<SaleRules, StoreError> {
    let sales: HashMap<SkuId, SaleTerms> = stock
        .iter()
        .filter_map(|(sku, counters)| Some((*sku, counters.sale?)))
        .collect();
    if sales.is_empty() {
        return Ok(SaleRules::default());
    }
    let buyers: BTreeSet<UserId> = requests.iter().filter_map(|request| request.ask.buyer).collect();
    let ids: Vec<SaleId> = sales.values().map(|terms| terms.sale).collect();
    let bought = store::bought(conn, &ids, &buyers.into_iter().collect::<Vec<_>>()).await?;
    Ok(SaleRules { sales, bought })
}

/// The SKUs of all requests, in order.
fn skus(requests: &[&Reserve]) -> BTreeSet<SkuId> {
    let lines = requests.iter().flat_map(|request| request.ask.lines.iter());
    lines.map(|line| line.sku).collect()
}

fn decide_from(
    tools: &Tools,
    stock: &HashMap<SkuId, Counters>,
    mut known: Known,
    requests: &[&Reserve],
    now: Timestamp,
) -> Result<Decided<Verdict>, OutOfBounds> {
    let mut available: HashMap<SkuId, i64> = stock
        .iter()
        .filter(|(_, counters)| !counters.discontinued)
        .map(|(sku, counters)| (*sku, counters.available()))
        .collect();
    let asks = requests.iter().map(|request| &request.ask);
    let answers = grant(&mut available, &mut known.orders, &mut known.rules, asks, now);
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
