use async_trait::async_trait;
use ferrocart_contracts::v1::{Order, OrderCancelled, OrderConfirmed};
use ferrocart_contracts::{EnvelopeError, Event};
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_types::OrderId;

use crate::domain::CartId;
use crate::store::{CartStore, ChangeError};

/// Empties the cart of an order that stands and gives back that of one that does not. Redis is the
/// store of record here, so there is no inbox table: the cart itself remembers the orders it has
/// heard of, in the same script that applies the event.
pub(crate) struct OrderEvents {
    pub(crate) store: CartStore,
}

#[async_trait]
impl Handler for OrderEvents {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        let envelope = &event.envelope;
        let (order, confirmed) = match envelope.event_type.as_str() {
            OrderConfirmed::TYPE => (envelope.decode::<OrderConfirmed>().map_err(reject)?.order, true),
            OrderCancelled::TYPE => (envelope.decode::<OrderCancelled>().map_err(reject)?.order, false),
            _ => return Ok(()),
        };
        let order = order.ok_or_else(|| HandleError::Reject(anyhow::anyhow!("the event has no order")))?;
        let Some((cart, order)) = cart_and_order(&order)? else {
            return Ok(());
        };
        let outcome = if confirmed {
            self.store.confirmed(cart, order).await
        } else {
            self.store.cancelled(cart, order).await
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error @ ChangeError::Redis(_)) => Err(HandleError::Wait(error.into())),
            Err(error) => Err(HandleError::Reject(error.into())),
        }
    }
}

fn cart_and_order(order: &Order) -> Result<Option<(CartId, OrderId)>, HandleError> {
    if order.cart_id.is_empty() {
        return Ok(None);
    }
    let cart = order
        .cart_id
        .parse()
        .map_err(|error: crate::domain::InvalidCartId| HandleError::Reject(error.into()))?;
    let order = order
        .order_id
        .parse()
        .map_err(|error: ferrocart_types::InvalidId| HandleError::Reject(error.into()))?;
    Ok(Some((cart, order)))
}

fn reject(error: EnvelopeError) -> HandleError {
    HandleError::Reject(error.into())
}
