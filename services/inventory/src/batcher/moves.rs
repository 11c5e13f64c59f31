use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferrocart_failpoint::Site;
use ferrocart_pg_kit::StoreError;
use ferrocart_types::{OrderId, SkuId, Timestamp};
use sqlx::PgConnection;

use crate::app::{Actor, Book};
use crate::batcher::Tools;
use crate::batcher::lane::{BatchKind, Decided, TicketOf};
use crate::cache::{Recent, StockCache};
use crate::domain::{Command, Counters, Effect, OutOfBounds, Refusal, Reservation};
use crate::store::{self, MovedRow, StockRow};

/// A command to a reservation, and who gives it.
#[derive(Debug, Clone)]
pub struct Move {
    pub order_id: OrderId,
    pub command: Command,
    pub actor: Actor,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    Done(Reservation),
    Refused(Refusal),
    NotFound,
}

pub(super) struct Moves;

impl BatchKind for Moves {
    const NAME: &'static str = "move";
    type Request = Move;
    type Answer = Moved;

    /// That of its first command that has one.
    fn site(requests: &[TicketOf<Self>]) -> Option<Site> {
        requests.iter().find_map(|ticket| match ticket.request.command {
            Command::Confirm => Some(Site::InventoryConfirm),
            Command::Release(_) | Command::Abandon(_) => Some(Site::InventoryRelease),
            Command::Deduct => Some(Site::InventoryDeduct),
            Command::Extend(_) => Some(Site::InventoryExtend),
            Command::GiveBack | Command::Expire => None,
        })
    }

    fn count(answer: &Moved) {
        let outcome = match answer {
            Moved::Done(reservation) => reservation.state.as_str(),
            Moved::Refused(_) => "refused",
            Moved::NotFound => "not_found",
        };
        metrics::counter!("inventory_moves_total", "outcome" => outcome).increment(1);
    }

    /// Good only for confirmations of what was granted here a short while ago, each of them once: that a
    /// reservation is still reserved is checked with the write, and everything else by the SKUs' versions.
    fn guess(
        tools: &Tools,
        (cache, recent): (&StockCache, &Recent),
        requests: &[&Move],
    ) -> Option<Decided<Moved>> {
        if requests.iter().any(|request| request.command != Command::Confirm) {
            return None;
        }
        let known = recent.all(requests.iter().map(|request| request.order_id))?;
        let skus = known.values().flat_map(|reservation| reservation.lines.iter());
        let stock = cache.all(skus.map(|line| line.sku))?;
        if known.len() < requests.len() || stock.values().any(|counters| counters.sale.is_some()) {
            return None;
        }
        let outcomes = carry_out(&known, requests, tools.clock.now());
        let confirmed = outcomes
            .effects
            .iter()
            .all(|(_, effect, _)| *effect == Effect::Confirmed);
        if !confirmed || outcomes.effects.len() < requests.len() {
            return None;
        }
        write_down(tools, &known, &stock, outcomes).ok()
    }

    async fn decide(
        tools: &Tools,
        conn: &mut PgConnection,
        requests: &[&Move],
    ) -> Result<Decided<Moved>, StoreError> {
        let orders: BTreeSet<OrderId> = requests.iter().map(|request| request.order_id).collect();
        let orders: Vec<OrderId> = orders.into_iter().collect();
        let found = store::lock(conn, &orders).await?;
        decide_locked(tools, conn, &found, requests).await
    }
}

/// Carries the commands out on reservations that the caller's transaction has locked; for the sweeper.
/// Answers how many changed, and which stock.
pub(crate) async fn settle(
    tools: &Tools,
    conn: &mut PgConnection,
    locked: &HashMap<OrderId, Reservation>,
    requests: &[Move],
) -> Result<(usize, Vec<StockRow>), StoreError> {
    let requests: Vec<&Move> = requests.iter().collect();
    let decided = decide_locked(tools, conn, locked, &requests).await?;
    store::apply(conn, &decided.changes, tools.clock.now()).await?;
    Ok((decided.changes.moved.len(), decided.changes.stock))
}

async fn decide_locked(
    tools: &Tools,
    conn: &mut PgConnection,
    locked: &HashMap<OrderId, Reservation>,
    requests: &[&Move],
) -> Result<Decided<Moved>, StoreError> {
    let outcomes = carry_out(locked, requests, tools.clock.now());
    // Reservations first, then stock: the same order everywhere.
    let skus: BTreeSet<SkuId> = outcomes
        .effects
        .iter()
        .filter_map(|(order, _, _)| locked.get(order))
        .flat_map(|reservation| reservation.lines.iter().map(|line| line.sku))
        .collect();
    let stock = if skus.is_empty() {
        HashMap::new()
    } else {
        store::lock_stock(conn, &skus.into_iter().collect::<Vec<_>>()).await?
    };
    write_down(tools, locked, &stock, outcomes).map_err(|error| StoreError::Corrupt {
        table: "stock",
        column: "reserved",
        row: error.sku.to_string(),
        reason: error.to_string(),
    })
}

/// What follows for rows, ledger and events.
fn write_down(
    tools: &Tools,
    before: &HashMap<OrderId, Reservation>,
    stock: &HashMap<SkuId, Counters>,
    outcomes: Outcomes<'_>,
) -> Result<Decided<Moved>, OutOfBounds> {
    let Outcomes {
        current,
        effects,
        answers,
    } = outcomes;
    let mut book = Book::open(&tools.ids, tools.clock.now(), tools.stock_low_threshold, stock);
    for (order, effect, actor) in effects {
        if let Some(reservation) = before.get(&order) {
            book.effect(reservation, effect, actor)?;
        }
    }
    for (order, after) in current {
        let Some(before) = before.get(&order) else {
            book.buried(after);
            continue;
        };
        if after.expires_at != before.expires_at {
            book.extended(order, after.expires_at);
        }
        book.moved(MovedRow {
            order_id: order,
            before: before.state,
            after: after.state,
        });
    }
    let (changes, stock) = book.close();
    Ok(Decided {
        answers,
        changes,
        stock,
    })
}

/// What the commands came to, one after the other.
struct Outcomes<'r> {
    /// The reservations after all commands.
    current: BTreeMap<OrderId, Reservation>,
    effects: Vec<(OrderId, Effect, &'r Actor)>,
    answers: Vec<Moved>,
}

fn carry_out<'r>(
    locked: &HashMap<OrderId, Reservation>,
    requests: &[&'r Move],
    now: Timestamp,
) -> Outcomes<'r> {
    let mut current: BTreeMap<OrderId, Reservation> = BTreeMap::new();
    let mut effects = Vec::new();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let order = request.order_id;
        let known = current.remove(&order).or_else(|| locked.get(&order).cloned());
        let mut reservation = match (known, request.command) {
            (Some(known), _) => known,
            (None, Command::Abandon(reason)) => Reservation::tombstone(order, reason, now),
            (None, _) => {
                answers.push(Moved::NotFound);
                continue;
            }
        };
        let step = reservation.step(request.command, now);
        reservation.state = step.after;
        reservation.expires_at = step.expires_at.unwrap_or(reservation.expires_at);
        if let Some(effect) = step.effect {
            effects.push((order, effect, &request.actor));
        }
        answers.push(match step.refusal {
            Some(refusal) => Moved::Refused(refusal),
            None => Moved::Done(reservation.clone()),
        });
        current.insert(order, reservation);
    }
    Outcomes {
        current,
        effects,
        answers,
    }
}
