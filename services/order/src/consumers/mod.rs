//! Events of payment and inventory; each is applied once, in one transaction with its inbox entry. All that
//! have arrived share it: most tell what the checkout that made them has written down already.

mod inventory;
mod payment;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::{BatchHandler, HandleError, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_types::{EventId, OrderId, SharedClock, Timestamp};
use sqlx::{PgConnection, PgPool};

use crate::app::App;
use crate::domain::PaymentFact;
use crate::saga::Driver;
use crate::store::{orders, sagas};

/// The consumer group.
pub(crate) const GROUP: &str = "order";
/// Events that share a transaction at most.
pub(crate) const BATCH_MAX: usize = 256;
pub(crate) const TOPICS: [Topic; 2] = [Topic::Payment, Topic::Inventory];

/// What an event means here.
#[derive(Debug, Clone, Copy)]
enum News {
    Payment(OrderId, PaymentFact),
    ReservationExpired(OrderId),
}

pub(crate) struct Events {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) app: App,
    pub(crate) driver: Driver,
}

#[async_trait]
impl BatchHandler for Events {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let mut batch = Vec::new();
        for event in events {
            if let Some(news) = news(event).map_err(HandleError::Reject)? {
                batch.push((event.envelope.id, news));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let changed = self.apply(batch).await.map_err(|error| {
            if error.is_unavailable() {
                HandleError::Wait(error.into())
            } else {
                HandleError::Reject(error.into())
            }
        })?;
        if changed {
            self.driver.wake_worker();
        }
        Ok(())
    }
}

fn news(event: &Received) -> anyhow::Result<Option<News>> {
    match event.topic {
        Topic::Payment => payment::news(&event.envelope),
        Topic::Inventory => inventory::news(&event.envelope),
        Topic::Order | Topic::Catalog => Ok(None),
    }
}

impl Events {
    async fn apply(&self, batch: Vec<(EventId, News)>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        run_tx(&self.pool, "order.events", |conn| {
            let (app, batch) = (self.app.clone(), batch.clone());
            Box::pin(async move {
                let ids: Vec<EventId> = batch.iter().map(|(id, _)| *id).collect();
                let new = inbox::record_many(conn, GROUP, &ids, now).await?;
                let batch = batch.into_iter().filter(|(id, _)| new.contains(id));
                apply_new(conn, &app, batch.map(|(_, news)| news), now).await
            })
        })
        .await
    }
}

async fn apply_new(
    conn: &mut PgConnection,
    app: &App,
    batch: impl Iterator<Item = News> + Send,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut payments: HashMap<OrderId, PaymentFact> = HashMap::new();
    let mut expired = BTreeSet::new();
    for news in batch {
        match news {
            // What a payment comes to only ever grows in rank: of several news the highest is the last.
            News::Payment(order, fact) => {
                let known = payments.entry(order).or_insert(fact);
                *known = PaymentFact::after(Some(*known), fact);
            }
            News::ReservationExpired(order) => {
                expired.insert(order);
            }
        }
    }
    let mut changed = false;
    // The sagas' rows before the orders', as everywhere.
    for order in expired {
        changed |= app.expire_reservation(conn, order).await?;
    }
    if !payments.is_empty() {
        sagas::wake_waiting(conn, payments.keys().copied(), now).await?;
        changed |= orders::note_payments(conn, &payments, now).await? > 0;
    }
    Ok(changed)
}
