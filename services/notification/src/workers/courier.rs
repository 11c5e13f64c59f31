use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{NotificationId, SharedClock, SharedIds, Timestamp};
use rand::Rng;
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::WorkHandle;
use crate::domain::{
    Content, DisabledReason, Locale, NewNotification, Occasion, Patience, Recipient, Schedule,
};
use crate::store::{self, Attempt, Due, Failing, Room};
use crate::webhook::{AddressRules, Outcome, Parcel, PostOffice, Safe, Target, signature};

/// How long to wait with a database that is away.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
const GONE: u16 = 410;

/// Delivers what is due to the endpoints of merchants. Every replica runs one; a lease keeps them from delivering the
/// same.
#[derive(Clone)]
pub(crate) struct Courier {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) handle: WorkHandle,
    /// Tells the sender of e-mails.
    pub(crate) mails: WorkHandle,
    pub(crate) office: PostOffice,
    pub(crate) safe: std::sync::Arc<Safe>,
    pub(crate) rules: AddressRules,
    pub(crate) schedule: Schedule,
    pub(crate) patience: Patience,
    pub(crate) room: Room,
    pub(crate) lease: TimeDelta,
    pub(crate) poll: Duration,
    /// Of owners who have chosen no language.
    pub(crate) locale: Locale,
}

impl Courier {
    /// What is under way when it is cancelled is finished: each delivery has a deadline.
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut under_way = JoinSet::new();
        while !cancel.is_cancelled() {
            let wait = match self.take_up(&mut under_way).await {
                Ok(()) => self.poll,
                Err(error) => {
                    tracing::warn!(%error, "the courier could not take up work");
                    DATABASE_RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.handle.notified() => {}
                // There is room for more.
                Some(_) = under_way.join_next() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }

    async fn take_up(&self, under_way: &mut JoinSet<()>) -> Result<(), StoreError> {
        while under_way.try_join_next().is_some() {}
        let busy = u32::try_from(under_way.len()).unwrap_or(u32::MAX);
        let room = Room {
            in_all: self.room.in_all.saturating_sub(busy),
            ..self.room
        };
        if room.in_all == 0 {
            return Ok(());
        }
        let (lease, now) = (self.ids.next(), self.clock.now());
        let due = store::claim_deliveries(&self.pool, lease, now, now + self.lease, room).await?;
        for due in due {
            let courier = self.clone();
            let span = tracing::info_span!(
                "webhook.deliver",
                delivery.id = %due.delivery_id,
                endpoint.id = %due.endpoint_id,
                webhook.event = due.event_type,
            );
            if let Some(parent) = &due.traceparent {
                ferrocart_telemetry::set_parent(&span, parent);
            }
            under_way.spawn(async move { courier.settle(lease, &due).await }.instrument(span));
        }
        Ok(())
    }

    /// Delivers one and writes down how it went.
    async fn settle(&self, lease: Uuid, due: &Due) {
        let (at, started) = (self.clock.now(), Instant::now());
        let outcome = self.deliver(due, at).await;
        let duration = started.elapsed();
        metrics::histogram!("webhook_delivery_duration_seconds").record(duration);
        let attempt = Attempt {
            number: due.attempts,
            at,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
            status_code: outcome.status(),
            error: outcome.reason().map(str::to_owned),
        };
        match self.write_down(lease, due, &outcome, &attempt).await {
            Ok(result) => {
                metrics::counter!("webhook_deliveries_total", "result" => result).increment(1);
                tracing::info!(
                    delivery.id = %due.delivery_id,
                    endpoint.id = %due.endpoint_id,
                    attempts = due.attempts,
                    status = attempt.status_code,
                    reason = attempt.error,
                    result,
                    "webhook tried"
                );
            }
            // The row comes up again when its lease ends, with the same webhook-id.
            Err(error) => tracing::error!(
                delivery.id = %due.delivery_id, %error, "the outcome of a webhook could not be written down"
            ),
        }
    }

    async fn deliver(&self, due: &Due, now: Timestamp) -> Outcome {
        // The rules may have become stricter since the address was taken down.
        let Ok(target) = Target::parse(&due.url, self.rules) else {
            return Outcome::Failed {
                reason: "its address is not allowed",
            };
        };
        let timestamp = now.timestamp();
        let mut sealed = vec![&due.secret];
        sealed.extend(
            due.previous
                .iter()
                .filter(|(_, until)| now < *until)
                .map(|(sealed, _)| sealed),
        );
        let mut signatures = Vec::new();
        for sealed in sealed {
            let Ok(secret) = self.safe.open(due.endpoint_id, sealed) else {
                tracing::error!(endpoint.id = %due.endpoint_id, "no key of webhook_seal_keys opens its secret");
                return Outcome::Failed {
                    reason: "its secret cannot be read; rotate it",
                };
            };
            signatures.push(signature(&secret, due.message_id, timestamp, &due.body));
        }
        let parcel = Parcel {
            target: &target,
            message_id: due.message_id,
            timestamp,
            signatures: signatures.join(" "),
            body: due.body.clone(),
        };
        self.office.send(parcel).await
    }

    async fn write_down(
        &self,
        lease: Uuid,
        due: &Due,
        outcome: &Outcome,
        attempt: &Attempt,
    ) -> Result<&'static str, StoreError> {
        let now = self.clock.now();
        let (result, disabled) = run_tx(&self.pool, "webhook_outcome", |conn| {
            let (courier, due) = (self.clone(), due.clone());
            let (outcome, attempt) = (outcome.clone(), attempt.clone());
            Box::pin(async move {
                store::log_attempt(conn, due.delivery_id, &attempt).await?;
                match outcome {
                    Outcome::Delivered { .. } => {
                        store::mark_delivered(conn, due.delivery_id, now).await?;
                        store::forgive(conn, due.endpoint_id).await?;
                        Ok(("DELIVERED", false))
                    }
                    Outcome::Refused { .. } | Outcome::Failed { .. } => {
                        courier.undelivered(conn, lease, &due, &outcome, now).await
                    }
                }
            })
        })
        .await?;
        if disabled {
            metrics::counter!("webhook_endpoints_disabled_total").increment(1);
            self.mails.poke();
        }
        Ok(result)
    }

    /// What happened, and whether the endpoint was disabled.
    async fn undelivered(
        &self,
        conn: &mut PgConnection,
        lease: Uuid,
        due: &Due,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<(&'static str, bool), StoreError> {
        let retry_after = match outcome {
            Outcome::Refused { retry_after, .. } => *retry_after,
            Outcome::Delivered { .. } | Outcome::Failed { .. } => None,
        };
        let jitter = rand::rng().random_range(0..=1000);
        let next = self.schedule.after(due.attempts, retry_after, now, jitter);
        // The endpoint's row first, as everywhere: two transactions then never wait for each other.
        let failing = store::count_failure(conn, due.endpoint_id, now).await?;
        if !store::mark_undelivered(conn, due.delivery_id, lease, next, now).await? {
            return Ok(("OVERTAKEN", false));
        }
        let result = if next.is_some() { "RETRIED" } else { "FAILED" };
        let Some(failing) = failing else {
            return Ok((result, false));
        };
        let reason = if outcome.status() == Some(GONE) {
            DisabledReason::Gone
        } else if self.patience.is_over(failing.failures, failing.since, now) {
            DisabledReason::Failing
        } else {
            return Ok((result, false));
        };
        let disabled = store::disable_endpoint(conn, due.endpoint_id, reason, now).await?;
        if disabled {
            tracing::warn!(endpoint.id = %due.endpoint_id, reason = reason.as_str(), "endpoint disabled");
            self.tell_owner(conn, due, failing, now).await?;
        }
        Ok(("FAILED", disabled))
    }

    async fn tell_owner(
        &self,
        conn: &mut PgConnection,
        due: &Due,
        failing: Failing,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(recipient) = failing.owner_email else {
            return Ok(());
        };
        let wanted = store::preferences_in(conn, &[failing.merchant_id]).await?;
        let locale = wanted.get(&failing.merchant_id).and_then(|wanted| wanted.locale);
        let new = NewNotification {
            notification_id: NotificationId(self.ids.next()),
            event_id: ferrocart_types::EventId(self.ids.next()),
            order_id: None,
            order_sequence: 0,
            customer_id: failing.merchant_id,
            recipient: Recipient::Email(recipient),
            locale: locale.unwrap_or(self.locale),
            content: Content {
                occasion: Occasion::WebhookDisabled {
                    endpoint_id: due.endpoint_id,
                    url: failing.url,
                },
                lines: Vec::new(),
                total: None,
            },
            traceparent: due.traceparent.clone(),
            created_at: now,
        };
        store::insert(conn, &[&new]).await?;
        Ok(())
    }
}
