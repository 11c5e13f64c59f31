use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreError, inbox};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::mail::Mailer;
use crate::store;

const EVERY: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The topics retain 7 days; what is older cannot come again.
const INBOX_DAYS: i64 = 14;
/// Rows that go in one statement.
const CHUNK: i64 = 1_000;

/// Keeps the metrics fresh, the inbox and the log of webhooks short.
pub(crate) struct Housekeeper {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) mailer: Arc<dyn Mailer>,
    /// How long webhooks are kept, with their log.
    pub(crate) webhooks_kept: TimeDelta,
}

impl Housekeeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut mail_up = true;
        while !cancel.is_cancelled() {
            mail_up = self.probe(mail_up).await;
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, "housekeeping waits for the database");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    /// A mail server that is away delays e-mails and makes no replica unfit to serve: so it is a metric
    /// and a line in the log, not a failed readiness check.
    async fn probe(&self, was_up: bool) -> bool {
        let outcome = tokio::time::timeout(PROBE_TIMEOUT, self.mailer.probe()).await;
        let reason = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.reason),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let up = reason.is_none();
        metrics::gauge!("mail_transport_up", "transport" => self.mailer.name()).set(u32::from(up));
        match reason {
            Some(reason) if was_up => {
                tracing::warn!(
                    mail.transport = self.mailer.name(),
                    reason,
                    "e-mails cannot get out; they are kept"
                );
            }
            None if !was_up => tracing::info!(mail.transport = self.mailer.name(), "e-mails get out again"),
            _ => {}
        }
        up
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let backlog = store::backlog(&self.pool).await?;
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!("notifications_backlog").set(count(backlog.pending));
        metrics::gauge!("notifications_failed").set(count(backlog.failed));
        let age = backlog
            .oldest
            .map_or(0, |oldest| (now - oldest).num_seconds().max(0));
        metrics::gauge!("notifications_oldest_pending_age_seconds").set(count(age));
        let (pending, due_since) = store::webhook_backlog(&self.pool, now).await?;
        metrics::gauge!("webhook_deliveries_pending").set(count(pending));
        let age = due_since.map_or(0, |since| (now - since).num_seconds().max(0));
        metrics::gauge!("webhook_oldest_due_age_seconds").set(count(age));
        store::forget_messages(&self.pool, now - self.webhooks_kept, CHUNK).await?;
        let mut conn = self.pool.acquire().await?;
        inbox::forget(&mut conn, now - TimeDelta::days(INBOX_DAYS), CHUNK).await?;
        Ok(())
    }
}
