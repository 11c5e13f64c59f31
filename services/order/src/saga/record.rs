//! What is written down after a step. The records of many sagas share a transaction.

use std::collections::HashMap;
use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::outbox::{self, Publisher};
use ferrocart_pg_kit::{Batch, BoxFuture, run_tx};
use ferrocart_types::{OrderId, Timestamp};
use rand::Rng;
use sqlx::{PgConnection, PgPool};
use tracing::Span;

use super::driver::{Driver, Ended};
use super::perform::Report;
use super::{SagaError, answer};
use crate::config::SagaSettings;
use crate::domain::saga::{End, Kind, Next, Outcome, Situation, decide};
use crate::domain::{Order, Refund, Step};
use crate::events::status_event;
use crate::snapshots::Snapshots;
use crate::store::sagas::{Held, LogLine, Progress, Saga, SagaState};
use crate::store::{orders, sagas};

/// A wait up to this long is slept through by the driver; for a longer one the saga is given up, and the
/// recovery worker goes on with it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// So much rarer an order is looked after that waits for its payment method.
const METHOD_LOOKS: u32 = 3;

/// What the driver does next.
pub(crate) enum Recorded {
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
        let step = StepRecord {
            saga: saga.clone(),
            order: order.clone(),
            report: report.clone(),
            now: self.inner.clock.now(),
            span: Span::current(),
        };
        self.inner.records.run(step).await?
    }
}

/// Writes the records of steps.
pub(crate) struct Records {
    pub(crate) pool: PgPool,
    pub(crate) publisher: Publisher,
    pub(crate) relay: RelayHandle,
    pub(crate) snapshots: Snapshots,
    pub(crate) settings: SagaSettings,
}

impl Batch for Records {
    const NAME: &'static str = "saga.record";
    type Item = StepRecord;
    /// What is the matter with one saga is told to its driver; the others are none the worse.
    type Answer = Result<Recorded, SagaError>;
    type Error = SagaError;

    fn run<'a>(&'a self, steps: &'a [StepRecord]) -> BoxFuture<'a, Result<Vec<Self::Answer>, SagaError>> {
        Box::pin(async move {
            let (answers, published) = run_tx(&self.pool, Self::NAME, |conn| {
                let (desk, steps) = (self.desk(), steps.to_vec());
                Box::pin(async move { desk.write(conn, steps).await })
            })
            .await?;
            if published {
                self.relay.poke();
            }
            for (step, answer) in steps.iter().zip(&answers) {
                match answer {
                    Ok(Recorded::Next { driven, .. }) if driven.1.version > step.order.version => {
                        self.snapshots.note(&driven.1);
                    }
                    Ok(Recorded::Ended(ended)) => self.snapshots.note(&ended.order),
                    _ => {}
                }
            }
            Ok(answers)
        })
    }

    fn is_unavailable(error: &SagaError) -> bool {
        matches!(error, SagaError::Store(error) if error.is_unavailable())
    }
}

impl Records {
    fn desk(&self) -> Desk {
        Desk {
            settings: self.settings.clone(),
            publisher: self.publisher.clone(),
        }
    }
}

/// Where it is decided what is written.
struct Desk {
    settings: SagaSettings,
    publisher: Publisher,
}

/// A step whose outcome is to be recorded.
#[derive(Clone)]
pub(crate) struct StepRecord {
    saga: Saga,
    order: Order,
    report: Report,
    now: Timestamp,
    /// The saga's own: its events belong to its trace.
    span: Span,
}

/// What is to be written about one saga.
struct Plan {
    saga: Saga,
    before: Order,
    order: Order,
    progress: Progress,
    lines: Vec<LogLine>,
    then: Then,
    span: Span,
}

enum Then {
    Next(Duration),
    Parked,
    Ended(End),
}

impl Desk {
    /// Answers what the drivers do next, and whether there is anything to publish.
    async fn write(
        &self,
        conn: &mut PgConnection,
        steps: Vec<StepRecord>,
    ) -> Result<(Vec<<Records as Batch>::Answer>, bool), SagaError> {
        let held = sagas::hold(conn, &steps.iter().map(|step| &step.saga).collect::<Vec<_>>()).await?;
        let mut plans: Vec<Result<Plan, SagaError>> = steps
            .into_iter()
            .map(|step| match held.get(&step.saga.id) {
                Some(held) => step.plan(*held, &self.settings),
                None => Err(SagaError::Fenced),
            })
            .collect();
        let published = self.write_orders(conn, &mut plans).await?;
        let made = || plans.iter().flatten();
        sagas::log(
            conn,
            &made().flat_map(|plan| plan.lines.clone()).collect::<Vec<_>>(),
        )
        .await?;
        sagas::update(
            conn,
            &made()
                .map(|plan| (&plan.saga, &plan.progress))
                .collect::<Vec<_>>(),
        )
        .await?;
        let answers = store_answers(conn, &plans).await?;
        let answers = plans
            .into_iter()
            .zip(answers)
            .map(|(plan, answer)| Ok(plan?.recorded(answer)))
            .collect();
        Ok((answers, published))
    }

    /// Orders that have changed, and the events of those that have come to another status.
    async fn write_orders(
        &self,
        conn: &mut PgConnection,
        plans: &mut [Result<Plan, SagaError>],
    ) -> Result<bool, SagaError> {
        let changes: Vec<_> = plans
            .iter()
            .flatten()
            .filter(|plan| plan.order != plan.before)
            .map(|plan| orders::Change {
                before: &plan.before,
                after: &plan.order,
            })
            .collect();
        let versions: HashMap<OrderId, i64> = orders::update(conn, &changes).await?;
        let mut events = Vec::new();
        for plan in plans.iter_mut().flatten() {
            if let Some(version) = versions.get(&plan.order.id) {
                plan.order.version = *version;
            }
            if plan.order.sequence() > plan.before.sequence() {
                let event = plan.span.in_scope(|| status_event(&self.publisher, &plan.order));
                events.push(event);
            }
        }
        outbox::append(conn, &events).await?;
        Ok(!events.is_empty())
    }
}

/// The answers to checkouts that have ended, for each plan.
async fn store_answers(
    conn: &mut PgConnection,
    plans: &[Result<Plan, SagaError>],
) -> Result<Vec<Option<StoredResponse>>, SagaError> {
    let mut answers = Vec::with_capacity(plans.len());
    let mut stored = Vec::new();
    for plan in plans {
        let answer = match plan {
            Ok(plan) => plan.answer()?,
            Err(_) => None,
        };
        if let (Some(answer), Ok(plan)) = (&answer, plan)
            && let Some(key) = &plan.saga.payload.idempotency
        {
            stored.push((RequestKey::new(&key.caller, &key.key, &[]), answer.clone()));
        }
        answers.push(answer);
    }
    if !stored.is_empty() {
        let done = idempotency::complete_many(conn, &stored).await?;
        if usize::try_from(done).is_ok_and(|done| done < stored.len()) {
            // A saga that took longer than keys are kept; nobody can ask for its answer any more.
            tracing::warn!("the idempotency key of a checkout was forgotten before its end");
        }
    }
    Ok(answers)
}

impl StepRecord {
    fn plan(mut self, held: Held, settings: &SagaSettings) -> Result<Plan, SagaError> {
        let woken = held.wakes > self.saga.wakes;
        self.saga.wakes = held.wakes;
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
            cancel: held.cancel,
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
                Ok(self.step_to(before, step, settings))
            }
            Next::Undo(step, reason) => {
                self.saga.reason = Some(reason);
                Ok(self.step_to(before, step, settings))
            }
            Next::End(end) => self.end(before, end),
            // The news may have come behind the answer that says to wait.
            Next::Wait if woken => {
                let step = self.saga.step;
                Ok(self.step_to(before, step, settings))
            }
            Next::Retry | Next::Stuck | Next::Wait => Ok(self.again(before, next, tried, settings)),
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
        // A method that is named later is still to be told.
        payload.waiting |= self.report.outcome == Outcome::Waiting && payload.payment_method.is_some();
    }

    fn lease_until(&self, settings: &SagaSettings) -> Timestamp {
        self.now + Duration::from_millis(settings.saga_lease_ms)
    }

    fn step_to(mut self, before: Order, step: Step, settings: &SagaSettings) -> Plan {
        let lines = vec![
            self.outcome_line(self.saga.attempts.saturating_add(1)),
            self.started_line(step, 1),
        ];
        self.saga.step = step;
        self.saga.attempts = 0;
        let progress = Progress {
            state: SagaState::at(step),
            lease_until: Some(self.lease_until(settings)),
            next_attempt_at: self.now,
            last_error: None,
            at: self.now,
        };
        self.planned(before, progress, lines, Then::Next(Duration::ZERO))
    }

    /// The same step again, later.
    fn again(mut self, before: Order, next: Next, tried: i32, settings: &SagaSettings) -> Plan {
        let stuck =
            next == Next::Stuck || u32::try_from(tried).unwrap_or(u32::MAX) >= settings.saga_stuck_tries;
        let after = match next {
            Next::Wait if self.saga.payload.payment_method.is_none() => {
                settings.payment_look() * METHOD_LOOKS
            }
            Next::Wait => settings.payment_look(),
            Next::Stuck => Duration::from_millis(settings.saga_backoff_max_ms),
            _ => backoff(settings, tried),
        };
        let mut lines = Vec::new();
        // A saga that is stuck for days must not write a line every few seconds.
        if !stuck || self.saga.attempts == 0 {
            lines.push(self.outcome_line(tried));
            if next != Next::Wait {
                lines.push(self.started_line(self.saga.step, tried.saturating_add(1)));
            }
        }
        if next != Next::Wait {
            self.saga.attempts = tried;
        }
        let sleeps = after <= SLEEP_MAX;
        let progress = Progress {
            state: if stuck {
                SagaState::Stuck
            } else {
                SagaState::at(self.saga.step)
            },
            lease_until: sleeps.then(|| self.lease_until(settings) + after),
            next_attempt_at: self.now + after,
            last_error: self.report.detail.clone(),
            at: self.now,
        };
        if stuck {
            self.span.in_scope(|| {
                tracing::error!(
                    saga.step = %self.saga.step, saga.attempts = self.saga.attempts,
                    error = self.report.detail, "a saga is stuck"
                );
            });
        }
        let then = if sleeps { Then::Next(after) } else { Then::Parked };
        self.planned(before, progress, lines, then)
    }

    fn end(mut self, before: Order, end: End) -> Result<Plan, SagaError> {
        self.order = match end {
            End::Confirmed => self.order.confirm(self.now)?,
            End::Shipped => {
                let shipment = self.saga.payload.shipment.clone().unwrap_or_default();
                self.order.ship(shipment, self.now)?
            }
            End::Refunded => {
                let refund = self.refund();
                self.order.refund(refund, self.now)?
            }
            End::Cancelled(reason) => {
                self.order
                    .cancel(reason, self.saga.payload.reservation_id, self.now)?
            }
            End::Unchanged => self.order,
        };
        let lines = vec![self.outcome_line(self.saga.attempts.saturating_add(1))];
        self.saga.payload.payment_method = None;
        let progress = Progress {
            state: SagaState::Done,
            lease_until: None,
            next_attempt_at: self.now,
            last_error: self.report.detail.clone().filter(|_| end == End::Unchanged),
            at: self.now,
        };
        metrics::counter!("saga_ends_total", "kind" => self.saga.kind.as_str(), "end" => label(end))
            .increment(1);
        Ok(self.planned(before, progress, lines, Then::Ended(end)))
    }

    /// What went back.
    fn refund(&self) -> Refund {
        let payload = &self.saga.payload;
        let (amount, items, by) = match &payload.refund {
            Some(terms) => (terms.amount, terms.items.clone(), terms.by.clone()),
            // One that began before parts could go back.
            None => (self.order.total, Vec::new(), "support".to_owned()),
        };
        Refund {
            id: self.saga.id,
            amount,
            items,
            reason: payload.note.clone(),
            by,
            at: self.now,
        }
    }

    fn planned(mut self, before: Order, progress: Progress, lines: Vec<LogLine>, then: Then) -> Plan {
        if self.order != before {
            self.order.updated_at = self.now;
        }
        Plan {
            saga: self.saga,
            before,
            order: self.order,
            progress,
            lines,
            then,
            span: self.span,
        }
    }

    fn started_line(&self, step: Step, attempt: i32) -> LogLine {
        LogLine {
            saga: self.saga.id,
            step,
            event: "STARTED",
            attempt,
            at: self.now,
            detail: None,
        }
    }

    fn outcome_line(&self, attempt: i32) -> LogLine {
        let event = match self.report.outcome {
            Outcome::Done => "SUCCEEDED",
            Outcome::Refused(_) => "FAILED",
            Outcome::Unknown => "UNKNOWN",
            Outcome::Waiting => "WAITING",
        };
        LogLine {
            saga: self.saga.id,
            step: self.saga.step,
            event,
            attempt,
            at: self.now,
            detail: self.report.detail.clone(),
        }
    }
}

impl Plan {
    /// What the client of a checkout or a refund that ends is told; it holds the order's version, which is known once the
    /// order is written.
    fn answer(&self) -> Result<Option<StoredResponse>, SagaError> {
        match (&self.then, self.saga.kind) {
            (Then::Ended(end), Kind::Checkout) => self
                .span
                .in_scope(|| answer::of_checkout(&self.order, *end, self.saga.payload.refusal.as_ref()))
                .map(Some),
            (Then::Ended(end), Kind::Refund) if self.saga.payload.idempotency.is_some() => {
                answer::of_refund(&self.order, *end, self.saga.payload.refusal.as_ref()).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn recorded(self, answer: Option<StoredResponse>) -> Recorded {
        match self.then {
            Then::Next(after) => Recorded::Next {
                driven: Box::new((self.saga, self.order)),
                after,
            },
            Then::Parked => Recorded::Parked,
            Then::Ended(end) => Recorded::Ended(Box::new(Ended {
                end,
                order: self.order,
                answer,
            })),
        }
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
            payment_look_ms: 5_000,
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
