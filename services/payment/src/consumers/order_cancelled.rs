use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use ferrocart_contracts::Event;
use ferrocart_contracts::v1::OrderCancelled;
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_types::OrderId;

use crate::app::Payments;
use crate::error::PaymentError;

/// An order that is cancelled must hold no money, whatever became of its saga.
pub(crate) struct OrderCancelledHandler {
    pub(crate) payments: Arc<Payments>,
}

#[async_trait]
impl Handler for OrderCancelledHandler {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        if event.envelope.event_type != OrderCancelled::TYPE {
            return Ok(());
        }
        let message: OrderCancelled = event
            .envelope
            .decode()
            .map_err(|error| HandleError::Reject(error.into()))?;
        let order: OrderId = message
            .order
            .as_ref()
            .context("the event has no order")
            .and_then(|order| Ok(order.order_id.parse()?))
            .map_err(HandleError::Reject)?;
        let reason = if message.reason.is_empty() {
            "ORDER_CANCELLED"
        } else {
            &message.reason
        };
        let outcome = self
            .payments
            .order_cancelled(event.envelope.id, order, reason)
            .await;
        outcome.map_err(|error| match error {
            PaymentError::Store(error) if error.is_unavailable() => HandleError::Wait(error.into()),
            error => HandleError::Reject(error.into()),
        })
    }
}
