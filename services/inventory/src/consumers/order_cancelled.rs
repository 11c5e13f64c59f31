use anyhow::{Context, anyhow};
use async_trait::async_trait;
use ferrocart_contracts::Event;
use ferrocart_contracts::v1::OrderCancelled;
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_types::OrderId;

use crate::app::Actor;
use crate::batcher::{BatchError, Batcher, Move, Moved};
use crate::domain::{Command, Refusal, ReleaseReason};

/// Releases what a cancelled order still holds, in case the order service could not.
///
/// There is no inbox: the release is decided and recorded on the reservation itself, so an event that
/// comes again finds it released and changes nothing.
pub(crate) struct OrderCancellations {
    pub(crate) batcher: Batcher,
}

#[async_trait]
impl Handler for OrderCancellations {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        if event.envelope.event_type != OrderCancelled::TYPE {
            return Ok(());
        }
        let cancelled: OrderCancelled = event
            .envelope
            .decode()
            .context("OrderCancelled")
            .map_err(HandleError::Reject)?;
        let order_id: OrderId = event
            .envelope
            .subject
            .parse()
            .context("the subject of an OrderCancelled")
            .map_err(HandleError::Reject)?;
        let request = Move {
            order_id,
            command: Command::Abandon(release_reason(&cancelled.reason)),
            actor: Actor {
                name: "event:OrderCancelled".to_owned(),
                traceparent: ferrocart_telemetry::current_traceparent(),
            },
        };
        match self.batcher.command(request).await {
            // An order that was cancelled before it had a reservation has one now that is over: a request to
            // reserve that comes later finds it.
            Ok(Moved::Done(_) | Moved::NotFound | Moved::Refused(Refusal::AlreadyReleased(_))) => Ok(()),
            Ok(Moved::Refused(refusal)) => {
                // The units left the warehouse: they come back as a return, not as a release.
                tracing::warn!(order.id = %order_id, %refusal, "a cancelled order keeps its units");
                Ok(())
            }
            Err(error @ (BatchError::Overloaded | BatchError::Unavailable)) => {
                Err(HandleError::Wait(error.into()))
            }
            Err(error @ BatchError::Failed) => Err(HandleError::Reject(anyhow!(error).context("release"))),
        }
    }
}

fn release_reason(reason: &str) -> ReleaseReason {
    if reason.starts_with("PAYMENT") {
        ReleaseReason::PaymentFailed
    } else {
        ReleaseReason::Cancelled
    }
}
