use std::sync::Arc;
use std::time::Duration;

use ferrocart_failpoint::Failpoints;
use ferrocart_pg_kit::Combiner;
use ferrocart_pg_kit::idempotency::StoredResponse;
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::perform::{Performer, Report};
use super::record::{Recorded, Records};
use super::{Endings, SagaError, sites};
use crate::clients::Clients;
use crate::config::SagaSettings;
use crate::domain::Order;
use crate::domain::saga::End;
use crate::store::sagas::{self, Lease, Saga};

/// Drives sagas; cheap to clone.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(super) inner: Arc<DriverParts>,
    tasks: TaskTracker,
}

pub(crate) struct DriverParts {
    pub(crate) pool: PgPool,
    pub(crate) clients: Clients,
    pub(crate) clock: SharedClock,
    pub(crate) records: Combiner<Records>,
    pub(crate) settings: SagaSettings,
    /// Names this process in leases.
    pub(crate) owner: Uuid,
    pub(crate) endings: Endings,
    /// Wakes the recovery worker.
    pub(crate) worker: Arc<Notify>,
    pub(crate) failpoints: Failpoints,
    /// When it is cancelled, sagas are handed to other replicas between two steps.
    pub(crate) cancel: CancellationToken,
}

/// A saga that has come to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) order: Order,
    /// What the client of a checkout is told, as it is stored.
    pub(crate) answer: Option<StoredResponse>,
}

impl Driver {
    pub(crate) fn new(parts: DriverParts) -> Self {
        Self {
            inner: Arc::new(parts),
            tasks: TaskTracker::new(),
        }
    }

    /// A lease from now on.
    pub(crate) fn lease(&self) -> Lease {
        let until = self.inner.clock.now() + Duration::from_millis(self.inner.settings.saga_lease_ms);
        Lease {
            owner: self.inner.owner,
            until,
        }
    }

    /// Drives a saga, whose lease this process holds, in a task of its own: nobody's hanging up stops it.
    /// `None` when it did not end in this driver's hands.
    pub(crate) fn start(&self, saga: Saga, order: Order) -> JoinHandle<Option<Ended>> {
        let span = tracing::info_span!("saga", saga.kind = %saga.kind, saga.id = %saga.id, order.id = %saga.order_id);
        if let Some(traceparent) = &saga.payload.traceparent {
            ferrocart_telemetry::set_parent(&span, traceparent);
        }
        let driver = self.clone();
        let work = self.tasks.track_future(
            async move {
                let order_id = order.id;
                let outcome = driver.drive(saga, order).await;
                driver.inner.endings.ring(order_id);
                match outcome {
                    Ok(ended) => ended,
                    Err(error) => {
                        report(&error);
                        None
                    }
                }
            }
            .instrument(span),
        );
        ferrocart_telemetry::spawn("saga", work)
    }

    /// Waits for the sagas under way, each to the end of its step.
    pub(crate) async fn drain(&self, patience: Duration) {
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("some sagas are left to other replicas in the middle of a step");
        }
    }

    async fn drive(&self, mut saga: Saga, mut order: Order) -> Result<Option<Ended>, SagaError> {
        loop {
            if self.inner.cancel.is_cancelled() {
                let mut conn = self.inner.pool.acquire().await?;
                sagas::give_up(&mut conn, &saga, self.inner.clock.now()).await?;
                return Ok(None);
            }
            let performer = Performer {
                clients: &self.inner.clients,
                settings: &self.inner.settings,
                saga: &saga,
                order: &order,
                now: self.inner.clock.now(),
            };
            let failpoints = &self.inner.failpoints;
            let call = || performer.perform();
            let report = match failpoints.around(sites::of_call(saga.step), call).await {
                // A call touches no store: a failpoint's error, which stands for an answer that is lost.
                Err(SagaError::Store(error)) => Report::lost(&error),
                report => report?,
            };
            tracing::debug!(saga.step = %saga.step, outcome = ?report.outcome, detail = report.detail, "saga step");
            let record = || self.record(&saga, &order, &report);
            match failpoints.around(sites::of_record(saga.step), record).await? {
                Recorded::Next { driven, after } => {
                    (saga, order) = *driven;
                    if !after.is_zero() {
                        // Stopping need not wait for a backoff; the loop looks at the token.
                        self.inner
                            .cancel
                            .run_until_cancelled(tokio::time::sleep(after))
                            .await
                            .unwrap_or_default();
                    }
                }
                Recorded::Parked => return Ok(None),
                Recorded::Ended(ended) => {
                    tracing::info!(order.status = %ended.order.status(), end = ?ended.end, "saga ended");
                    return Ok(Some(*ended));
                }
            }
        }
    }

    pub(crate) fn endings(&self) -> &Endings {
        &self.inner.endings
    }

    /// Lets the recovery worker look at once.
    pub(crate) fn wake_worker(&self) {
        self.inner.worker.notify_one();
    }
}

/// The saga is not lost: its lease runs out and a worker goes on.
fn report(error: &SagaError) {
    match error {
        SagaError::Fenced => tracing::info!("a saga went on in other hands"),
        SagaError::Stopped => {}
        error => tracing::error!(%error, "a saga's driver failed; it is taken over when its lease ends"),
    }
}
