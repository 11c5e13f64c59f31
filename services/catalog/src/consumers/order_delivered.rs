//! OrderDelivered: the customer may review what was in the order.

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use ferrocart_contracts::{Event, v1::OrderDelivered};
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_pg_kit::{inbox, run_tx};
use ferrocart_types::{ProductId, SharedClock, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::CatalogError;
use crate::store;

pub(crate) const GROUP: &str = "catalog";

pub(crate) struct Deliveries {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
}

struct Delivery {
    customer: UserId,
    products: Vec<Uuid>,
}

#[async_trait]
impl Handler for Deliveries {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        if event.envelope.event_type != OrderDelivered::TYPE {
            return Ok(());
        }
        let Some(delivery) = delivery(event).map_err(HandleError::Reject)? else {
            return Ok(());
        };
        let (id, delivered_at) = (event.envelope.id, event.envelope.time);
        let now = self.clock.now();
        run_tx(&self.pool, "order.delivered", |conn| {
            let (customer, products) = (delivery.customer, delivery.products.clone());
            Box::pin(async move {
                if inbox::record(conn, GROUP, id, now).await? {
                    store::purchases::add(conn, customer, &products, delivered_at).await?;
                }
                Ok::<(), CatalogError>(())
            })
        })
        .await
        .map_err(|error| match error {
            CatalogError::Store(store) if store.is_unavailable() => HandleError::Wait(store.into()),
            other => HandleError::Reject(other.into()),
        })
    }
}

/// `None` for a guest's order: a guest session cannot review.
fn delivery(event: &Received) -> anyhow::Result<Option<Delivery>> {
    let order = event
        .envelope
        .decode::<OrderDelivered>()?
        .order
        .context("the event has no order")?;
    if order.guest {
        return Ok(None);
    }
    let customer = order.customer_id.parse()?;
    let products = order
        .lines
        .iter()
        .map(|line| line.product_id.parse::<ProductId>().map(|id| id.as_uuid()))
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow!("a line of the order: {error}"))?;
    Ok(Some(Delivery { customer, products }))
}
