//! How checkouts begin, and how earlier ones are found again: many at once.

use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::outbox::{self, OutboxEvent};
use ferrocart_pg_kit::{Batch, BoxFuture, StoreError, run_tx};
use ferrocart_types::SharedClock;
use sqlx::{PgConnection, PgPool};

use crate::domain::Order;
use crate::error::ServiceError;
use crate::snapshots::Snapshots;
use crate::store::beginnings::{self, Opening};
use crate::store::sagas::{KeyRef, Lease, LogLine, NewSaga, Saga};
use crate::store::{keys, orders, sagas};

/// A checkout about to begin.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) key: RequestKey,
    pub(crate) saga: Saga,
    pub(crate) order: Order,
    pub(crate) lease: Lease,
    pub(crate) event: OutboxEvent,
}

/// Writes beginnings. Answers `false` for a key that was used before.
pub(crate) struct Beginnings {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) relay: RelayHandle,
    pub(crate) snapshots: Snapshots,
    /// How long a key is held for its request.
    pub(crate) lock_for: Duration,
}

impl Batch for Beginnings {
    const NAME: &'static str = "checkout.begin";
    type Item = Beginning;
    type Answer = bool;
    type Error = ServiceError;

    fn run<'a>(&'a self, items: &'a [Beginning]) -> BoxFuture<'a, Result<Vec<bool>, ServiceError>> {
        Box::pin(async move {
            let begun = match self.at_once(items).await? {
                Some(begun) => begun,
                None => self.one_by_one(items).await?,
            };
            self.relay.poke();
            for (item, _) in items.iter().zip(&begun).filter(|(_, begun)| **begun) {
                self.snapshots.note(&item.order);
            }
            Ok(begun)
        })
    }

    fn is_unavailable(error: &ServiceError) -> bool {
        matches!(error, ServiceError::Store(error) if error.is_unavailable())
    }
}

impl Beginnings {
    /// One statement. `None` when it did nothing because something is taken.
    async fn at_once(&self, items: &[Beginning]) -> Result<Option<Vec<bool>>, ServiceError> {
        let openings: Vec<Opening<'_>> = items.iter().map(Beginning::opening).collect();
        if !beginnings::are_distinct(&openings) {
            return Ok(None);
        }
        let now = self.clock.now();
        let mut conn = self.pool.acquire().await?;
        match beginnings::open(&mut conn, &openings, now, now + self.lock_for).await {
            Ok(begun) => Ok(Some(
                items.iter().map(|item| begun.contains(&item.order.id)).collect(),
            )),
            Err(error) if error.is_unavailable() => Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, checkouts = items.len(), "checkouts begin by single steps");
                Ok(None)
            }
        }
    }

    /// Step by step, which tells what is taken.
    async fn one_by_one(&self, items: &[Beginning]) -> Result<Vec<bool>, ServiceError> {
        let (now, lock_for) = (self.clock.now(), self.lock_for);
        run_tx(&self.pool, Self::NAME, |conn| {
            let items = items.to_vec();
            Box::pin(async move {
                let keys: Vec<_> = items
                    .iter()
                    .map(|item| (&item.key, item.order.id.as_uuid()))
                    .collect();
                let fresh = idempotency::claim_many(conn, &keys, now, lock_for).await?;
                let begun: Vec<&Beginning> = items
                    .iter()
                    .zip(&fresh)
                    .filter_map(|(item, fresh)| fresh.then_some(item))
                    .collect();
                write(conn, &begun).await?;
                Ok::<_, ServiceError>(fresh)
            })
        })
        .await
    }
}

impl Beginning {
    fn opening(&self) -> Opening<'_> {
        Opening {
            key: &self.key,
            order: &self.order,
            saga: self.new_saga(),
            event: &self.event,
        }
    }

    fn new_saga(&self) -> NewSaga<'_> {
        NewSaga {
            saga: &self.saga,
            cart: self.order.cart_id,
            lease: self.lease,
        }
    }
}

/// All of it, or the refusal of one, which the batch is then divided to find.
async fn write(conn: &mut PgConnection, begun: &[&Beginning]) -> Result<(), ServiceError> {
    if begun.is_empty() {
        return Ok(());
    }
    let placed: Vec<&Order> = begun.iter().map(|item| &item.order).collect();
    let inserted = orders::insert(conn, &placed).await?;
    if let Some(taken) = placed.iter().find(|order| !inserted.contains(&order.id)) {
        return Err(ServiceError::HoldRedeemed(taken.id));
    }
    let new: Vec<NewSaga<'_>> = begun.iter().map(|item| item.new_saga()).collect();
    let started = sagas::insert(conn, &new).await?;
    if usize::try_from(started).is_ok_and(|started| started < new.len()) {
        return Err(ServiceError::CartCheckedOut);
    }
    let lines: Vec<LogLine> = begun.iter().map(|item| LogLine::first(&item.saga)).collect();
    sagas::log(conn, &lines).await?;
    let events: Vec<OutboxEvent> = begun.iter().map(|item| item.event.clone()).collect();
    outbox::append(conn, &events).await?;
    Ok(())
}

/// Looks keys up.
pub(crate) struct Peeks {
    pool: PgPool,
}

impl Peeks {
    pub(crate) fn of(pool: &PgPool) -> Self {
        Self { pool: pool.clone() }
    }
}

impl Batch for Peeks {
    const NAME: &'static str = "checkout.peek";
    type Item = KeyRef;
    /// Nothing, no answer yet, or the answer.
    type Answer = Option<Option<StoredResponse>>;
    type Error = StoreError;

    fn run<'a>(&'a self, items: &'a [KeyRef]) -> BoxFuture<'a, Result<Vec<Self::Answer>, StoreError>> {
        Box::pin(async move {
            let mut conn = self.pool.acquire().await?;
            keys::peek(&mut conn, items).await
        })
    }

    fn is_unavailable(error: &StoreError) -> bool {
        error.is_unavailable()
    }
}
