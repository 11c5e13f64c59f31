use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use chrono::TimeDelta;
use ferrocart_pg_kit::{Batch, BoxFuture, Combiner, StoreError};
use ferrocart_types::{NotificationId, SharedClock, SharedIds, Timestamp};
use futures::future::join_all;
use rand::Rng;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{Outlet, WorkHandle};
use crate::domain::{Kind, Refusal, RetryPolicy, SendError, Verdict};
use crate::store::{self, Claimed, Setback, Taken};

/// How long to wait with a database that is away.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// Writes down which messages are out, those together that got out together.
pub(crate) struct Marks {
    pub(crate) pool: PgPool,
}

impl Batch for Marks {
    const NAME: &'static str = "notification.sent";
    type Item = (NotificationId, Timestamp);
    /// `false` when another replica was first to say so.
    type Answer = bool;
    type Error = StoreError;

    fn run<'a>(&'a self, sent: &'a [Self::Item]) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            let mut conn = self.pool.acquire().await?;
            let marked = store::mark_sent(&mut conn, sent).await?;
            Ok(sent.iter().map(|(id, _)| marked.contains(id)).collect())
        })
    }

    fn is_unavailable(error: &StoreError) -> bool {
        error.is_unavailable()
    }
}

/// Sends what is due by one channel. Every replica runs one; a lease keeps them from sending the same.
pub(crate) struct Sender {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) handle: WorkHandle,
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) policy: RetryPolicy,
    pub(crate) marks: Combiner<Marks>,
    pub(crate) batch_max: u32,
    pub(crate) lease: TimeDelta,
    pub(crate) poll: Duration,
    pub(crate) timeout: Duration,
}

impl Sender {
    /// Ends between two batches, each of which is bounded by the delivery's timeout.
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        while !cancel.is_cancelled() {
            let wait = match self.send_batch().await {
                Ok(0) => self.poll,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "the sender could not take up work");
                    DATABASE_RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.handle.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    async fn send_batch(&self) -> Result<usize, StoreError> {
        let (lease, now) = (self.ids.next(), self.clock.now());
        let taken = store::claim(
            &self.pool,
            self.outlet.channel(),
            (lease, now + self.lease),
            now,
            self.batch_max,
        )
        .await?;
        let count = taken.len();
        join_all(taken.into_iter().map(|taken| self.settle(lease, taken))).await;
        Ok(count)
    }

    /// Sends one and writes down how it went, within the trace of the purchase.
    async fn settle(&self, lease: Uuid, taken: Taken) {
        let id = taken.notification_id;
        let claimed = match taken.claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, "a stored notification cannot be read");
                let setback = Setback::GiveUp { refusals: None };
                let marked = store::set_back(&self.pool, id, lease, &setback, "it cannot be read").await;
                written(id, "FAILED", marked);
                return;
            }
        };
        let kind = claimed.content.occasion.kind();
        let span = tracing::info_span!(
            "notification.send",
            notification.id = %id,
            notification.kind = kind.as_str(),
            order.id = claimed.order_id.map(tracing::field::display),
        );
        if let Some(parent) = &claimed.traceparent {
            ferrocart_telemetry::set_parent(&span, parent);
        }
        let work = async {
            let started = Instant::now();
            let outcome = self.send(id, &claimed).await;
            metrics::histogram!("notification_send_duration_seconds", "transport" => self.outlet.name())
                .record(started.elapsed());
            match outcome {
                Ok(()) => self.sent(id, kind, &claimed).await,
                Err(error) => self.not_sent(id, lease, &claimed, &error).await,
            }
        };
        work.instrument(span).await;
    }

    async fn send(&self, id: NotificationId, claimed: &Claimed) -> Result<(), SendError> {
        let delivery = self.outlet.send(id, claimed);
        tokio::time::timeout(self.timeout, delivery)
            .await
            .unwrap_or_else(|_| Err(SendError::new(Refusal::Unavailable, "no end in time")))
    }

    async fn sent(&self, id: NotificationId, kind: Kind, claimed: &Claimed) {
        let now = self.clock.now();
        // It is out. Until that is written down a resend threatens: worth some tries.
        let marked = (|| self.marks.run((id, now)))
            .retry(ExponentialBuilder::default().with_max_times(5))
            .await;
        if written(id, "SENT", marked) {
            metrics::counter!("notifications_total", "kind" => kind.as_str(), "channel" => self.outlet.channel().as_str(), "status" => "SENT")
                .increment(1);
            tracing::info!(
                notification.id = %id,
                notification.kind = kind.as_str(),
                order.id = claimed.order_id.map(tracing::field::display),
                transport = self.outlet.name(),
                attempts = claimed.tried.attempts,
                "notification sent"
            );
        }
    }

    async fn not_sent(&self, id: NotificationId, lease: Uuid, claimed: &Claimed, error: &SendError) {
        let kind = claimed.content.occasion.kind().as_str();
        let jitter = rand::rng().random_range(0..=1000);
        let verdict = self
            .policy
            .after(error.refusal, claimed.tried, self.clock.now(), jitter);
        let attempts = claimed.tried.attempts;
        let (status, setback) = match verdict {
            Verdict::Retry { at, refusals } => {
                tracing::warn!(notification.id = %id, attempts, %error, next = %at, "notification not sent yet");
                ("RETRIED", Setback::Reschedule { at, refusals })
            }
            Verdict::GiveUp { refusals } => {
                tracing::error!(notification.id = %id, attempts, %error, "notification given up");
                (
                    "FAILED",
                    Setback::GiveUp {
                        refusals: Some(refusals),
                    },
                )
            }
        };
        let marked = store::set_back(&self.pool, id, lease, &setback, &error.reason).await;
        if written(id, status, marked) {
            metrics::counter!("notifications_total", "kind" => kind, "channel" => self.outlet.channel().as_str(), "status" => status).increment(1);
        }
    }
}

/// Whether it was written down. If not, the row comes up again when its lease ends.
fn written(id: NotificationId, status: &'static str, marked: Result<bool, StoreError>) -> bool {
    match marked {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(notification.id = %id, status, "another replica had taken the notification over");
            false
        }
        Err(error) => {
            tracing::error!(notification.id = %id, status, %error, "the outcome could not be written down");
            false
        }
    }
}
