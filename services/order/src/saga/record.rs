//! What is written down after a step, in one transaction.

use std::time::Duration;

use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, outbox, run_tx};
use ferrocart_types::Timestamp;
use rand::Rng;
use sqlx::PgConnection;

use super::driver::{Driver, Ended};
use super::perform::Report;
use super::{SagaError, answer};
use crate::config::SagaSettings;
use crate::domain::saga::{End, Kind, Next, Outcome, Situation, decide};
use crate::domain::{Order, Step};
use crate::events::status_event;
use crate::store::sagas::{LogLine, Progress, Saga, SagaState};
use crate::store::{orders, sagas};

/// A wait up to this long is slept through by the driver; for a longer one the saga is given up, and the
/// recovery worker goes on with it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How often a payment is asked for that waits for its customer. Payment-events wake it earlier.
const WAIT: Duration = Duration::from_secs(5);

/// How often an order is looked after that waits for its payment method, which wakes it when it comes.
const WAIT_FOR_METHOD: Duration = Duration::from_secs(15);

/// What the driver does next.
pub(super) enum Recorded {
    Next {
        driven: Box<(Saga, Order)>,
        after: Duration,
    },
    Parked,
    Ended(Box<Ended>),
}

impl Driver {
    pub(super) async fn record(
        &self,
        saga: &Saga,
        order: &Order,
        report: &Report,
    ) -> Result<Recorded, SagaError> {
        let recorded = run_tx(&self.inner.pool, "saga.record", |conn| {
            let driver = self.clone();
            let step = StepRecord {
                saga: saga.clone(),
                order: order.clone(),
                report: report.clone(),
                now: self.inner.clock.now(),
            };
            Box::pin(async move { step.write(conn, &driver).await })
        })
        .await?;
        // Missing a poke costs time, not the event; most steps have none.
        self.inner.relay.poke();
        Ok(recorded)
    }
}

struct StepRecord {
    saga: Saga,
    order: Order,
    report: Report,
    now: Timestamp,
}

impl StepRecord {
    async fn write(mut self, conn: &mut PgConnection, driver: &Driver) -> Result<Recorded, SagaError> {
        let settings = &driver.inner.settings;
        let cancel = sagas::hold(conn, &self.saga).await?.ok_or(SagaError::Fenced)?;
        let tried = self.saga.attempts.saturating_add(1);
        let age = self.now - self.saga.created_at;
        let patience = if self.saga.payload.pays_later {
            settings.payment_later_seconds_max
        } else {
            settings.payment_action_seconds_max
        };
        let situation = Situation {
            step: self.saga.step,
            reason: self.saga.reason,
            cancel,
            exhausted: u32::try_from(tried).unwrap_or(u32::MAX) >= settings.saga_tries_max,
            overdue: age.num_seconds() >= i64::from(patience),
        };
        let next = decide(situation, self.report.outcome);
        count(self.saga.step, self.report.outcome);
        self.learn();
        let before = self.order.clone();
        if let Some(payment) = self.report.payment {
            self.order = self.order.with_payment(payment);
        }
        match next {
            Next::Do(step) => {
                if let (Step::Reserve, Some(reservation)) = (self.saga.step, self.report.reservation_id) {
                    self.order = self.order.payment_pending(reservation, self.now)?;
                }
                self.save_order(conn, &before, driver).await?;
                self.step_to(conn, step, driver).await
            }
            Next::Undo(step, reason) => {
                self.save_order(conn, &before, driver).await?;
                self.saga.reason = Some(reason);
                self.step_to(conn, step, driver).await
            }
            Next::End(end) => self.end(conn, &before, end, driver).await,
            Next::Retry | Next::Stuck | Next::Wait => {
                self.save_order(conn, &before, driver).await?;
                self.again(conn, next, tried, driver).await
            }
        }
    }

    /// Keeps what the step has taught.
    fn learn(&mut self) {
        let payload = &mut self.saga.payload;
        if let Some(reservation) = self.report.reservation_id {
            payload.reservation_id = Some(reservation);
        }
        if let (Outcome::Refused(_), Some(refused)) = (self.report.outcome, &self.report.refused) {
            // The first refusal is the cause; what is refused while undoing is not.
            payload.refusal.get_or_insert_with(|| refused.clone());
        }
        payload.reserved_until = self.report.reserved_until.or(payload.reserved_until);
        // Without a method payment was not asked yet.
        payload.waiting |= self.report.outcome == Outcome::Waiting && payload.payment_method.is_some();
    }

    async fn save_order(
        &mut self,
        conn: &mut PgConnection,
        before: &Order,
        driver: &Driver,
    ) -> Result<(), SagaError> {
        if self.order == *before {
            return Ok(());
        }
        self.order.updated_at = self.now;
        self.order.version = orders::update(conn, before, &self.order).await?;
        if self.order.sequence() > before.sequence() {
            outbox::append(conn, &[status_event(&driver.inner.publisher, &self.order)]).await?;
        }
        Ok(())
    }

    async fn step_to(
        mut self,
        conn: &mut PgConnection,
        step: Step,
        driver: &Driver,
    ) -> Result<Recorded, SagaError> {
        let lines = [
            self.outcome_line(self.saga.attempts.saturating_add(1)),
            LogLine {
                step,
                event: "STARTED",
                attempt: 1,
                detail: None,
            },
        ];
        sagas::log(conn, self.saga.id, &lines, self.now).await?;
        self.saga.step = step;
        self.saga.attempts = 0;
        let progress = Progress {
            state: working_state(step),
            lease_until: Some(driver.lease().until),
            next_attempt_at: self.now,
            last_error: None,
        };
        sagas::update(conn, &self.saga, progress, self.now).await?;
        Ok(Recorded::Next {
            driven: Box::new((self.saga, self.order)),
            after: Duration::ZERO,
        })
    }

    /// The same step again, later.
    async fn again(
        mut self,
        conn: &mut PgConnection,
        next: Next,
        tried: i32,
        driver: &Driver,
    ) -> Result<Recorded, SagaError> {
        let settings = &driver.inner.settings;
        let stuck =
            next == Next::Stuck || u32::try_from(tried).unwrap_or(u32::MAX) >= settings.saga_stuck_tries;
        let after = match next {
            Next::Wait if self.saga.payload.payment_method.is_none() => WAIT_FOR_METHOD,
            Next::Wait => WAIT,
            Next::Stuck => Duration::from_millis(settings.saga_backoff_max_ms),
            _ => backoff(settings, tried),
        };
        // A saga that is stuck for days must not write a line every few seconds.
        if !stuck || self.saga.attempts == 0 {
            let mut lines = vec![self.outcome_line(tried)];
            if next != Next::Wait {
                lines.push(LogLine {
                    step: self.saga.step,
                    event: "STARTED",
                    attempt: tried.saturating_add(1),
                    detail: None,
                });
            }
            sagas::log(conn, self.saga.id, &lines, self.now).await?;
        }
        if next != Next::Wait {
            self.saga.attempts = tried;
        }
        let sleeps = after <= SLEEP_MAX;
        let progress = Progress {
            state: if stuck {
                SagaState::Stuck
            } else {
                working_state(self.saga.step)
            },
            lease_until: sleeps.then(|| driver.lease().until + after),
            next_attempt_at: self.now + after,
            last_error: self.report.detail.as_deref(),
        };
        if stuck {
            tracing::error!(
                saga.step = %self.saga.step, saga.attempts = self.saga.attempts,
                error = self.report.detail, "a saga is stuck"
            );
        }
        sagas::update(conn, &self.saga, progress, self.now).await?;
        if sleeps {
            return Ok(Recorded::Next {
                driven: Box::new((self.saga, self.order)),
                after,
            });
        }
        Ok(Recorded::Parked)
    }

    async fn end(
        mut self,
        conn: &mut PgConnection,
        before: &Order,
        end: End,
        driver: &Driver,
    ) -> Result<Recorded, SagaError> {
        self.order = match end {
            End::Confirmed => self.order.confirm(self.now)?,
            End::Shipped => {
                let shipment = self.saga.payload.shipment.clone().unwrap_or_default();
                self.order.ship(shipment, self.now)?
            }
            End::Refunded => self.order.refund(self.saga.payload.note.clone(), self.now)?,
            End::Cancelled(reason) => {
                self.order
                    .cancel(reason, self.saga.payload.reservation_id, self.now)?
            }
            End::Unchanged => self.order,
        };
        self.save_order(conn, before, driver).await?;
        let lines = [self.outcome_line(self.saga.attempts.saturating_add(1))];
        sagas::log(conn, self.saga.id, &lines, self.now).await?;
        self.saga.payload.payment_method = None;
        let progress = Progress {
            state: SagaState::Done,
            lease_until: None,
            next_attempt_at: self.now,
            last_error: self.report.detail.as_deref().filter(|_| end == End::Unchanged),
        };
        sagas::update(conn, &self.saga, progress, self.now).await?;
        let answer = match self.saga.kind {
            Kind::Checkout => Some(self.store_answer(conn, end).await?),
            _ => None,
        };
        metrics::counter!("saga_ends_total", "kind" => self.saga.kind.as_str(), "end" => label(end))
            .increment(1);
        Ok(Recorded::Ended(Box::new(Ended {
            end,
            order: self.order,
            answer,
        })))
    }

    async fn store_answer(&self, conn: &mut PgConnection, end: End) -> Result<StoredResponse, SagaError> {
        let response = answer::of_checkout(&self.order, end, self.saga.payload.refusal.as_ref())?;
        if let Some(key) = &self.saga.payload.idempotency {
            let key = RequestKey::new(&key.caller, &key.key, &[]);
            match idempotency::complete(conn, &key, &response).await {
                // A saga that took longer than keys are kept; nobody can ask for its answer any more.
                Err(StoreError::RowCount { actual: 0, .. }) => {
                    tracing::warn!("the idempotency key of a checkout was forgotten before its end");
                }
                outcome => outcome?,
            }
        }
        Ok(response)
    }

    fn outcome_line(&self, attempt: i32) -> LogLine {
        let event = match self.report.outcome {
            Outcome::Done => "SUCCEEDED",
            Outcome::Refused(_) => "FAILED",
            Outcome::Unknown => "UNKNOWN",
            Outcome::Waiting => "WAITING",
        };
        LogLine {
            step: self.saga.step,
            event,
            attempt,
            detail: self.report.detail.clone(),
        }
    }
}

const fn working_state(step: Step) -> SagaState {
    if step.is_undo() {
        SagaState::Compensating
    } else {
        SagaState::Running
    }
}

fn count(step: Step, outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Done => "done",
        Outcome::Refused(_) => "refused",
        Outcome::Unknown => "unknown",
        Outcome::Waiting => "waiting",
    };
    metrics::counter!("saga_steps_total", "step" => step.as_str(), "outcome" => outcome).increment(1);
}

const fn label(end: End) -> &'static str {
    match end {
        End::Confirmed => "CONFIRMED",
        End::Shipped => "SHIPPED",
        End::Refunded => "REFUNDED",
        End::Cancelled(reason) => reason.as_str(),
        End::Unchanged => "UNCHANGED",
    }
}

/// Doubles from try to try up to the most; half of it is chance, so that a thousand sagas that failed
/// together do not come back together.
fn backoff(settings: &SagaSettings, tried: i32) -> Duration {
    let doublings = u32::try_from(tried.saturating_sub(1)).unwrap_or(0).min(16);
    let ceiling = settings
        .saga_backoff_min_ms
        .saturating_mul(1 << doublings)
        .min(settings.saga_backoff_max_ms);
    Duration::from_millis(rand::rng().random_range(ceiling.div_ceil(2)..=ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_most_and_no_further() {
        let settings = SagaSettings {
            hold_seconds: 900,
            payment_action_seconds_max: 600,
            payment_later_seconds_max: 1_800,
            saga_lease_ms: 12_000,
            saga_poll_ms: 500,
            saga_concurrency_max: 1,
            saga_tries_max: 10,
            saga_backoff_min_ms: 100,
            saga_backoff_max_ms: 5_000,
            saga_stuck_tries: 20,
        };
        for tried in [1, 2, 3, 10, 1_000, i32::MAX] {
            let ceiling = (100_u64 << u32::try_from(tried - 1).unwrap().min(16)).min(5_000);
            for _ in 0..50 {
                let wait = u64::try_from(backoff(&settings, tried).as_millis()).unwrap();
                assert!((ceiling / 2..=ceiling).contains(&wait), "{tried}: {wait}");
            }
        }
    }
}
