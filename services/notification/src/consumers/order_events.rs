use async_trait::async_trait;
use ferrocart_contracts::Envelope;
use ferrocart_kafka_kit::{HandleError, Handler, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_telemetry::current_traceparent;
use ferrocart_types::{NotificationId, SharedClock, SharedIds};
use sqlx::PgPool;

use super::parse::{OrderNews, news};
use crate::domain::NewNotification;
use crate::store;
use crate::workers::SenderHandle;

/// Turns the steps of an order into notifications.
///
/// Of all topics only order-events is read: whatever a buyer is written about (payment declined, sold
/// out, refunded) reaches the order first, and only the order's events carry the address and the
/// lines. A second source would tell of the same refund twice.
pub(crate) struct OrderEvents {
    pub(crate) pool: PgPool,
    pub(crate) group: &'static str,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) sender: SenderHandle,
}

#[async_trait]
impl Handler for OrderEvents {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        let envelope = &event.envelope;
        let Some(news) = news(envelope).map_err(|error| HandleError::Reject(error.into()))? else {
            return Ok(());
        };
        let kind = news.content.occasion.kind().as_str();
        let Some(new) = self.notification(envelope, news) else {
            tracing::warn!(
                order.id = envelope.subject,
                notification.kind = kind,
                "an order without an e-mail address"
            );
            metrics::counter!("notifications_total", "kind" => kind, "status" => "NO_ADDRESS").increment(1);
            return Ok(());
        };
        if self.record(&new).await.map_err(refused)? {
            metrics::counter!("notifications_total", "kind" => kind, "status" => "PENDING").increment(1);
            self.sender.poke();
        } else {
            tracing::debug!(event.id = %envelope.id, "the event came again");
        }
        Ok(())
    }
}

impl OrderEvents {
    fn notification(&self, envelope: &Envelope, news: OrderNews) -> Option<NewNotification> {
        Some(NewNotification {
            notification_id: NotificationId(self.ids.next()),
            event_id: envelope.id,
            order_id: news.order_id,
            order_sequence: news.order_sequence,
            customer_id: news.customer_id,
            recipient: news.recipient?,
            content: news.content,
            // This consumer's span, which continues the event's.
            traceparent: current_traceparent().or_else(|| envelope.traceparent.clone()),
            created_at: self.clock.now(),
        })
    }

    /// The inbox row and the notification, or neither.
    async fn record(&self, new: &NewNotification) -> Result<bool, StoreError> {
        let group = self.group;
        run_tx(&self.pool, "notify", |conn| {
            let new = new.clone();
            Box::pin(async move {
                if !inbox::record(conn, group, new.event_id, new.created_at).await? {
                    return Ok(false);
                }
                store::insert(conn, &new).await
            })
        })
        .await
    }
}

fn refused(error: StoreError) -> HandleError {
    let unavailable = error.is_unavailable();
    let error = anyhow::Error::from(error).context("recording a notification");
    if unavailable {
        HandleError::Wait(error)
    } else {
        HandleError::Reject(error)
    }
}
