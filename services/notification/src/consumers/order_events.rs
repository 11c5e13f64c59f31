use std::collections::HashSet;

use async_trait::async_trait;
use ferrocart_contracts::Envelope;
use ferrocart_kafka_kit::{BatchHandler, HandleError, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_telemetry::current_traceparent;
use ferrocart_types::{EventId, NotificationId, SharedClock, SharedIds, UserId};
use sqlx::PgPool;

use super::parse::{OrderNews, news};
use crate::domain::{Channel, Locale, NewNotification};
use crate::store;
use crate::workers::WorkHandle;

/// Events that share a transaction at most.
pub(crate) const BATCH_MAX: usize = 256;

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
    pub(crate) sender: WorkHandle,
    /// Of customers who have chosen none.
    pub(crate) locale: Locale,
}

#[async_trait]
impl BatchHandler for OrderEvents {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let mut told = Vec::new();
        for event in events {
            let news = news(&event.envelope).map_err(|error| HandleError::Reject(error.into()))?;
            told.extend(news.map(|news| (&event.envelope, news)));
        }
        if told.is_empty() {
            return Ok(());
        }
        let customers: Vec<UserId> = told.iter().map(|(_, news)| news.customer_id).collect();
        let preferences = store::preferences(&self.pool, &customers)
            .await
            .map_err(refused)?;
        let mut batch = Vec::new();
        for (envelope, news) in told {
            let kind = news.content.occasion.kind();
            let wanted = preferences.get(&news.customer_id).cloned().unwrap_or_default();
            if !wanted.wants(Channel::Email, kind) {
                metrics::counter!("notifications_total", "kind" => kind.as_str(), "status" => "UNWANTED")
                    .increment(1);
                continue;
            }
            let (kind, locale) = (kind.as_str(), wanted.locale);
            if let Some(new) = self.notification(envelope, news, locale.unwrap_or(self.locale)) {
                batch.push(new);
            } else {
                tracing::warn!(
                    order.id = envelope.subject,
                    notification.kind = kind,
                    "an order without an e-mail address"
                );
                metrics::counter!("notifications_total", "kind" => kind, "status" => "NO_ADDRESS")
                    .increment(1);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let recorded = self.record(&batch).await.map_err(refused)?;
        for new in batch.iter().filter(|new| recorded.contains(&new.notification_id)) {
            let kind = new.content.occasion.kind().as_str();
            metrics::counter!("notifications_total", "kind" => kind, "status" => "PENDING").increment(1);
        }
        if recorded.is_empty() {
            tracing::debug!(events = batch.len(), "the events came again");
        } else {
            self.sender.poke();
        }
        Ok(())
    }
}

impl OrderEvents {
    fn notification(&self, envelope: &Envelope, news: OrderNews, locale: Locale) -> Option<NewNotification> {
        // Several events share a batch; each goes on in its own trace.
        let span = tracing::info_span!("notification.record", event.id = %envelope.id);
        if let Some(parent) = &envelope.traceparent {
            ferrocart_telemetry::set_parent(&span, parent);
        }
        let traceparent = span
            .in_scope(current_traceparent)
            .or_else(|| envelope.traceparent.clone());
        Some(NewNotification {
            notification_id: NotificationId(self.ids.next()),
            event_id: envelope.id,
            order_id: Some(news.order_id),
            order_sequence: news.order_sequence,
            customer_id: news.customer_id,
            recipient: news.recipient?,
            locale,
            content: news.content,
            traceparent,
            created_at: self.clock.now(),
        })
    }

    /// The inbox rows and the notifications, or none of them. Answers which were recorded.
    async fn record(&self, batch: &[NewNotification]) -> Result<HashSet<NotificationId>, StoreError> {
        let (group, now) = (self.group, self.clock.now());
        run_tx(&self.pool, "notify", |conn| {
            let batch = batch.to_vec();
            Box::pin(async move {
                let ids: Vec<EventId> = batch.iter().map(|new| new.event_id).collect();
                let fresh = inbox::record_many(conn, group, &ids, now).await?;
                let new: Vec<&NewNotification> =
                    batch.iter().filter(|new| fresh.contains(&new.event_id)).collect();
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
