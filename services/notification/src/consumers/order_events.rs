use std::collections::HashSet;

use async_trait::async_trait;
use ferrocart_contracts::Envelope;
use ferrocart_kafka_kit::{BatchHandler, HandleError, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_telemetry::current_traceparent;
use ferrocart_types::{EventId, NotificationId, SharedClock, SharedIds, UserId};
use sqlx::PgPool;

use super::parse::{OrderNews, news};
use crate::domain::{Channel, Kind, Locale, NewNotification, Preferences, Recipient, Standing};
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
    /// One for each channel.
    pub(crate) senders: Vec<WorkHandle>,
    /// The channels that are configured.
    pub(crate) channels: &'static [Channel],
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
            let wanted = preferences.get(&news.customer_id).cloned().unwrap_or_default();
            self.notifications(envelope, &news, &wanted, &mut batch);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let recorded = self.record(&batch).await.map_err(refused)?;
        for new in batch.iter().filter(|new| recorded.contains(&new.notification_id)) {
            count(new.content.occasion.kind(), new.recipient.channel(), "PENDING");
        }
        if recorded.is_empty() {
            tracing::debug!(events = batch.len(), "the events came again");
        } else {
            for sender in &self.senders {
                sender.poke();
            }
        }
        Ok(())
    }
}

impl OrderEvents {
    /// One by each channel that the customer wants it by and can be reached by.
    fn notifications(
        &self,
        envelope: &Envelope,
        news: &OrderNews,
        wanted: &Preferences,
        batch: &mut Vec<NewNotification>,
    ) {
        let kind = news.content.occasion.kind();
        let locale = wanted.locale.unwrap_or(self.locale);
        for &channel in self.channels {
            if !wanted.wants(channel, kind) {
                // What nobody gets without asking for it, nobody has refused.
                if kind.standing(channel) != (Standing::Optional { by_default: false }) {
                    count(kind, channel, "UNWANTED");
                }
                continue;
            }
            let recipient = match channel {
                Channel::Email => news.recipient.clone().map(Recipient::Email),
                Channel::Sms => wanted.phone.clone().map(Recipient::Phone),
            };
            if let Some(recipient) = recipient {
                batch.push(self.notification(envelope, news, recipient, locale));
            } else {
                tracing::warn!(
                    order.id = envelope.subject,
                    notification.kind = kind.as_str(),
                    notification.channel = channel.as_str(),
                    "an order without an address to write to"
                );
                count(kind, channel, "NO_ADDRESS");
            }
        }
    }

    fn notification(
        &self,
        envelope: &Envelope,
        news: &OrderNews,
        recipient: Recipient,
        locale: Locale,
    ) -> NewNotification {
        // Several events share a batch; each goes on in its own trace.
        let span = tracing::info_span!("notification.record", event.id = %envelope.id);
        if let Some(parent) = &envelope.traceparent {
            ferrocart_telemetry::set_parent(&span, parent);
        }
        let traceparent = span
            .in_scope(current_traceparent)
            .or_else(|| envelope.traceparent.clone());
        NewNotification {
            notification_id: NotificationId(self.ids.next()),
            event_id: envelope.id,
            order_id: Some(news.order_id),
            order_sequence: news.order_sequence,
            customer_id: news.customer_id,
            recipient,
            locale,
            content: news.content.clone(),
            traceparent,
            created_at: self.clock.now(),
        }
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

fn count(kind: Kind, channel: Channel, status: &'static str) {
    metrics::counter!(
        "notifications_total", "kind" => kind.as_str(), "channel" => channel.as_str(), "status" => status
    )
    .increment(1);
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
