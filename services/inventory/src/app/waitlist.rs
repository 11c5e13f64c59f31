use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{SkuId, Timestamp, UserId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::app::book::{Actor, Book};
use crate::app::once::claim;
use crate::batcher::Tools;
use crate::domain::{
    Counters, Excess, Line, Lines, Reservation, SaleTerms, Service, State, Ticket, TicketId, TicketState,
    serve,
};
use crate::error::ServiceError;
use crate::store::{self, Changes};

/// How many of a line are served in one transaction.
const BATCH: i64 = 100;
/// The most lines that one look serves.
const LINES_MAX: i64 = 100;

/// A buyer who wants a place in line.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) sku: SkuId,
    pub(crate) buyer: UserId,
    pub(crate) units: i32,
}

/// The line for what comes free in a flash sale. Only it grants from what is waited for.
#[derive(Clone)]
pub(crate) struct WaitDesk {
    pub(crate) pool: PgPool,
    pub(crate) tools: Tools,
    /// How long a granted hold lasts.
    pub(crate) hold: TimeDelta,
    /// How long a ticket stays in line.
    pub(crate) patience: TimeDelta,
}

/// What one commit did to a line.
#[derive(Debug, Default)]
struct Served {
    changes: Changes,
    told: Vec<Ticket>,
    /// Whether there may be more to do.
    more: bool,
}

/// The tickets as they are afterwards.
pub(super) fn ended(tickets: &[Ticket], state: TicketState) -> Vec<Ticket> {
    let tickets = tickets.iter();
    tickets.map(|ticket| Ticket { state, ..*ticket }).collect()
}

fn out_of_bounds(error: &crate::domain::OutOfBounds) -> StoreError {
    StoreError::Corrupt {
        table: "stock",
        column: "reserved",
        row: error.sku.to_string(),
        reason: error.to_string(),
    }
}

impl WaitDesk {
    /// Takes a place at the end of the line; a buyer who stands in it keeps the one they have. Answers the
    /// ticket, and whether the key had it already.
    pub(crate) async fn join(
        &self,
        joining: &Joining,
        key: &RequestKey,
    ) -> Result<(TicketId, bool), ServiceError> {
        let (ticket, replayed, changes) = run_tx(&self.pool, "waitlist.join", |conn| {
            let (desk, joining, key) = (self.clone(), joining.clone(), key.clone());
            Box::pin(async move {
                let fresh = TicketId(desk.tools.ids.next());
                if let Some(before) = claim(conn, &key, fresh.0, desk.tools.clock.now()).await? {
                    return Ok((stored_ticket(&before)?, true, Changes::default()));
                }
                let (ticket, changes) = desk.join_in(conn, &joining, fresh).await?;
                let response = StoredResponse {
                    status: 202,
                    body: ticket.0.as_bytes().to_vec(),
                };
                idempotency::complete(conn, &key, &response).await?;
                Ok::<_, ServiceError>((ticket, false, changes))
            })
        })
        .await?;
        self.committed(&changes);
        Ok((ticket, replayed))
    }

    async fn join_in(
        &self,
        conn: &mut PgConnection,
        joining: &Joining,
        fresh: TicketId,
    ) -> Result<(TicketId, Changes), ServiceError> {
        let now = self.tools.clock.now();
        let stock = store::lock_stock(conn, &[joining.sku]).await?;
        let counters = stock.get(&joining.sku).filter(|counters| !counters.discontinued);
        let counters = counters.ok_or(ServiceError::ProductNotFound(vec![joining.sku]))?;
        let terms = counters.sale.ok_or(ServiceError::NoSale(joining.sku))?;
        if !terms.live {
            return Err(ServiceError::SaleNotStarted(vec![joining.sku]));
        }
        if let Some(earlier) = store::waiting_ticket(conn, joining.sku, joining.buyer).await? {
            return Ok((earlier.ticket, Changes::default()));
        }
        if counters.available() > 0 {
            return Err(ServiceError::InStock(counters.available()));
        }
        check_limit(conn, terms, joining).await?;
        let sale = store::find_sale(conn, terms.sale)
            .await?
            .ok_or(ServiceError::SaleNotFound)?;
        let units = i64::from(joining.units);
        if counters.waiting + units > sale.waitlist_units_max {
            return Err(ServiceError::WaitlistFull(sale.waitlist_units_max));
        }
        let ticket = Ticket {
            ticket: fresh,
            sale: terms.sale,
            sku: joining.sku,
            buyer: joining.buyer,
            units: joining.units,
            position: 0,
            state: TicketState::Waiting,
            created_at: now,
            expires_at: now + self.patience,
        };
        store::insert_ticket(conn, &ticket).await?;
        let mut book = Book::open(&self.tools.ids, now, self.tools.stock_low_threshold, &stock);
        book.wait(joining.sku, units);
        let (changes, _) = book.close();
        store::apply(conn, &changes, now).await?;
        Ok((fresh, changes))
    }

    /// Gives the place up. One that has become something stays what it is.
    pub(crate) async fn leave(&self, ticket: Ticket) -> Result<Ticket, ServiceError> {
        let (after, changes) = run_tx(&self.pool, "waitlist.leave", |conn| {
            let desk = self.clone();
            Box::pin(async move {
                let now = desk.tools.clock.now();
                let stock = store::lock_stock(conn, &[ticket.sku]).await?;
                let found = store::find_ticket(conn, ticket.ticket).await?;
                let found = found.ok_or(ServiceError::TicketNotFound)?;
                if found.state.is_final() {
                    return Ok((found, Changes::default()));
                }
                store::end_tickets(conn, &[found], TicketState::Cancelled, now).await?;
                let mut book = Book::open(&desk.tools.ids, now, desk.tools.stock_low_threshold, &stock);
                book.wait(found.sku, -found.units());
                let (changes, _) = book.close();
                store::apply(conn, &changes, now).await?;
                let state = TicketState::Cancelled;
                Ok::<_, ServiceError>((Ticket { state, ..found }, changes))
            })
        })
        .await?;
        self.committed(&changes);
        self.tools.waiters.tell(&[after]);
        Ok(after)
    }

    pub(crate) async fn find(&self, ticket: TicketId) -> Result<Ticket, ServiceError> {
        let mut conn = self.pool.acquire().await?;
        let found = store::find_ticket(&mut conn, ticket).await?;
        found.ok_or(ServiceError::TicketNotFound)
    }

    /// How many stand before it.
    pub(crate) async fn ahead(&self, ticket: &Ticket) -> Result<i64, StoreError> {
        let mut conn = self.pool.acquire().await?;
        store::ahead_of(&mut conn, ticket).await
    }

    /// Until the ticket has become something, or the time is up.
    pub(crate) async fn wait_for(&self, ticket: TicketId, at_most: Duration) -> Result<Ticket, ServiceError> {
        // Before the look, so that nothing can happen between the two unseen.
        let mut watching = self.tools.waiters.watch(ticket);
        let found = self.find(ticket).await?;
        if found.state.is_final() || at_most.is_zero() {
            return Ok(found);
        }
        match tokio::time::timeout(at_most, watching.outcome()).await {
            Ok(Some(after)) => Ok(after),
            Ok(None) | Err(_) => self.find(ticket).await,
        }
    }

    /// Serves all lines that can move, and tells those of this process whom another one served.
    pub(crate) async fn serve(&self) -> Result<(), StoreError> {
        let lines = {
            let mut conn = self.pool.acquire().await?;
            store::with_work(&mut conn, self.tools.clock.now(), LINES_MAX).await?
        };
        for sku in lines {
            while self.serve_line(sku).await? {}
        }
        let watched = self.tools.waiters.watched();
        if !watched.is_empty() {
            let mut conn = self.pool.acquire().await?;
            let finished = store::finished(&mut conn, &watched).await?;
            self.tools.waiters.tell(&finished);
        }
        Ok(())
    }

    /// Answers whether there may be more to do. One at a time does this for a SKU, in whatever process: it takes
    /// the lock of its stock.
    async fn serve_line(&self, sku: SkuId) -> Result<bool, StoreError> {
        let served = run_tx(&self.pool, "waitlist.serve", |conn| {
            let desk = self.clone();
            Box::pin(async move { desk.serve_in(conn, sku).await })
        })
        .await?;
        self.committed(&served.changes);
        self.tools.waiters.tell(&served.told);
        Ok(served.more)
    }

    async fn serve_in(&self, conn: &mut PgConnection, sku: SkuId) -> Result<Served, StoreError> {
        let now = self.tools.clock.now();
        let stock = store::lock_stock(conn, &[sku]).await?;
        let Some((counters, terms)) = stock.get(&sku).and_then(|found| Some((*found, found.sale?))) else {
            return Ok(Served::default());
        };
        let mut book = Book::open(&self.tools.ids, now, self.tools.stock_low_threshold, &stock);
        let late = store::due_tickets(conn, sku, now, BATCH).await?;
        store::end_tickets(conn, &late, TicketState::Expired, now).await?;
        let line = store::next_in_line(conn, sku, BATCH).await?;
        let Service { granted, over } = self.choose(conn, &line, (counters, terms)).await?;
        store::end_tickets(conn, &over, TicketState::Cancelled, now).await?;
        let hold_expires_at = now + self.hold;
        let state = TicketState::Granted { hold_expires_at };
        store::end_tickets(conn, &granted, state, now).await?;
        let actor = Actor {
            name: "waitlist".to_owned(),
            traceparent: None,
        };
        for ticket in &granted {
            let hold = hold_for(ticket, now, hold_expires_at)?;
            book.grant(&hold, &actor).map_err(|error| out_of_bounds(&error))?;
        }
        let gone = granted.iter().chain(&late).chain(&over);
        book.wait(sku, -gone.map(Ticket::units).sum::<i64>());
        let (changes, _) = book.close();
        store::apply(conn, &changes, now).await?;
        let full = |count: usize| i64::try_from(count).is_ok_and(|count| count == BATCH);
        let more = full(late.len()) || full(granted.len() + over.len());
        let mut told = ended(&granted, state);
        told.extend(ended(&late, TicketState::Expired));
        told.extend(ended(&over, TicketState::Cancelled));
        Ok(Served { changes, told, more })
    }

    async fn choose(
        &self,
        conn: &mut PgConnection,
        line: &[Ticket],
        (counters, terms): (Counters, SaleTerms),
    ) -> Result<Service, StoreError> {
        let buyers: Vec<UserId> = line.iter().map(|ticket| ticket.buyer).collect();
        let bought = store::bought(conn, &[terms.sale], &buyers).await?;
        Ok(serve(line, counters.free(), &terms, &bought))
    }

    fn committed(&self, changes: &Changes) {
        if !changes.is_empty() {
            self.tools.relay.poke();
            self.tools.admission.committed(changes);
            self.tools.waiters.committed(&changes.stock);
        }
    }
}

async fn check_limit(
    conn: &mut PgConnection,
    terms: SaleTerms,
    joining: &Joining,
) -> Result<(), ServiceError> {
    let bought = store::bought(conn, &[terms.sale], &[joining.buyer]).await?;
    let excess = Excess {
        sku: joining.sku,
        requested: i64::from(joining.units),
        bought: bought.values().sum(),
        max: terms.units_per_buyer_max,
    };
    if excess.bought + excess.requested > excess.max {
        return Err(ServiceError::LimitExceeded(vec![excess]));
    }
    Ok(())
}

fn hold_for(ticket: &Ticket, now: Timestamp, expires_at: Timestamp) -> Result<Reservation, StoreError> {
    let line = Line {
        sku: ticket.sku,
        quantity: ticket.units,
    };
    let lines = Lines::from_stored(vec![line]).map_err(|error| StoreError::Corrupt {
        table: "waitlist",
        column: "units",
        row: ticket.ticket.0.to_string(),
        reason: error.to_string(),
    })?;
    Ok(Reservation {
        order_id: ticket.order_id(),
        buyer: Some(ticket.buyer),
        lines,
        created_at: now,
        expires_at,
        state: State::Reserved,
    })
}

/// The answer that is kept is the ticket; what it has become is read when it is asked for.
fn stored_ticket(response: &StoredResponse) -> Result<TicketId, StoreError> {
    let id = Uuid::from_slice(&response.body).map_err(|error| StoreError::Corrupt {
        table: "idempotency_keys",
        column: "response_body",
        row: String::new(),
        reason: error.to_string(),
    })?;
    Ok(TicketId(id))
}
