//! Events of payment and inventory; each is applied once, in one transaction with its inbox entry.

mod inventory;
mod payment;

use async_trait::async_trait;
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_types::{EventId, OrderId, SharedClock};
use sqlx::{PgConnection, PgPool};

use crate::app::App;
use crate::domain::PaymentFact;
use crate::saga::Driver;
use crate::store::{orders, sagas};

/// The consumer group.
pub(crate) const GROUP: &str = "order";
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
impl Handler for Events {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        let news = match event.topic {
            Topic::Payment => payment::news(&event.envelope),
            Topic::Inventory => inventory::news(&event.envelope),
            Topic::Order | Topic::Catalog => Ok(None),
        };
        let Some(news) = news.map_err(HandleError::Reject)? else {
            return Ok(());
        };
        let changed = self.apply(event.envelope.id, news).await.map_err(|error| {
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

impl Events {
    async fn apply(&self, event: EventId, news: News) -> Result<bool, StoreError> {
        let now = self.clock.now();
        run_tx(&self.pool, "order.event", |conn| {
            let app = self.app.clone();
            Box::pin(async move {
                if !inbox::record(conn, GROUP, event, now).await? {
                    return Ok(false);
                }
                apply_new(conn, &app, news, now).await
            })
        })
        .await
    }
}

async fn apply_new(
    conn: &mut PgConnection,
    app: &App,
    news: News,
    now: ferrocart_types::Timestamp,
) -> Result<bool, StoreError> {
    match news {
        News::Payment(order, fact) => {
            // The saga's row first, as everywhere.
            sagas::wake_waiting(conn, order, now).await?;
            orders::note_payment(conn, order, fact, now).await
        }
        News::ReservationExpired(order) => app.expire_reservation(conn, order).await,
    }
}
