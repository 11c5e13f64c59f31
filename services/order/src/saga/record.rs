//! What is written down after a step. The records of many sagas share a statement, as long as nobody has left
//! anything at a saga that its driver does not know of; then its rows are read, and decide.

use std::collections::HashSet;
use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::outbox::{self, OutboxEvent, Publisher};
use ferrocart_pg_kit::{Batch, BoxFuture, run_tx};
use ferrocart_types::Timestamp;
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
use crate::store::steps::{self, StepWrite, Written};
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
            tried: saga.step,
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
            let at_once = self.at_once(steps).await?;
            let mut answers = Vec::with_capacity(steps.len());
            for (step, recorded) in steps.iter().zip(at_once) {
                // What was written at once stands: what is the matter with another one is told to that one alone.
                answers.push(match recorded {
                    Some(recorded) => Ok(recorded),
                    None => self.by_rows(step).await,
                });
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
    /// Decided from what the drivers know, and written in one statement where that still holds. `None` for the
    /// others, of which nothing is written.
    async fn at_once(&self, steps: &[StepRecord]) -> Result<Vec<Option<Recorded>>, SagaError> {
        let mut seen = HashSet::new();
        let ready: Vec<Option<Ready>> = steps
            .iter()
            .map(|step| seen.insert(step.saga.id).then(|| self.ready(step)).flatten())
            .collect();
        let writes: Vec<StepWrite<'_>> = ready.iter().flatten().map(Ready::write).collect();
        if writes.is_empty() {
            return Ok(ready.into_iter().map(|_| None).collect());
        }
        let mut conn = self.pool.acquire().await?;
        let written = match steps::write(&mut conn, &writes).await {
            Ok(written) => written,
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, steps = writes.len(), "steps are recorded one by one");
                Written::default()
            }
        };
        drop(conn);
        let stands = |ready: &Ready| written.sagas.contains(&ready.plan.saga.id);
        let standing = || ready.iter().flatten().filter(|ready| stands(ready));
        if standing().any(|ready| ready.event.is_some()) {
            self.relay.poke();
        }
        tell_forgotten(
            standing().filter(|ready| ready.answer.stored.is_some()).count(),
            written.answers,
        );
        Ok(ready
            .into_iter()
            .map(|ready| ready.filter(stands).map(Ready::recorded))
            .collect())
    }

    /// What is to be written if nobody has left anything at the saga. `None` for what rows must decide.
    fn ready(&self, step: &StepRecord) -> Option<Ready> {
        let held = Held {
            cancel: None,
            wakes: step.saga.wakes,
        };
        let mut plan = step.clone().plan(held, &self.settings).ok()?;
        // Money that goes back is written with the rows that tell of what.
        if plan.order.refunds.len() > plan.before.refunds.len() {
            return None;
        }
        if plan.order != plan.before {
            plan.order.version = plan.before.version + 1;
        }
        let moved = plan.order.sequence() > plan.before.sequence();
        let event = moved.then(|| plan.span.in_scope(|| status_event(&self.publisher, &plan.order)));
        let answer = plan.answer().ok()?;
        Some(Ready { plan, event, answer })
    }

    /// Decided from the rows, in a transaction that has locked them.
    async fn by_rows(&self, step: &StepRecord) -> Result<Recorded, SagaError> {
        let (recorded, published) = run_tx(&self.pool, Self::NAME, |conn| {
            let (settings, publisher, step) = (self.settings.clone(), self.publisher.clone(), step.clone());
            Box::pin(async move { write_locked(conn, &settings, &publisher, step).await })
        })
        .await?;
        if published {
            self.relay.poke();
        }
        Ok(recorded)
    }
}

/// A record that is made, with what follows from it.
struct Ready {
    plan: Plan,
    event: Option<OutboxEvent>,
    answer: Answer,
}

/// What the client of a checkout or a refund that ends is told, under which key.
#[derive(Default)]
struct Answer {
    response: Option<StoredResponse>,
    stored: Option<(RequestKey, StoredResponse)>,
}

impl Ready {
    fn write(&self) -> StepWrite<'_> {
        let plan = &self.plan;
        StepWrite {
            saga: &plan.saga,
            progress: &plan.progress,
            order: orders::Change {
                before: &plan.before,
                after: &plan.order,
            },
            lines: &plan.lines,
            event: self.event.as_ref(),
            answer: self.answer.stored.as_ref(),
        }
    }

    fn recorded(self) -> Recorded {
        self.plan.recorded(self.answer.response)
    }
}

/// A saga that took longer than keys are kept: nobody can ask for its answer any more.
fn tell_forgotten(answers: usize, stored: u64) {
    if usize::try_from(stored).is_ok_and(|stored| stored < answers) {
        tracing::warn!("the idempotency key of a checkout was forgotten before its end");
    }
}

/// A step whose outcome is to be recorded.
#[derive(Clone)]
pub(crate) struct StepRecord {
    saga: Saga,
    /// The saga's step that the report is of.
    tried: Step,
    order: Order,
    report: Report,
    now: Timestamp,
    /// The saga's own: its events belong to its trace.
    span: Span,
}

/// What is to be written about one saga.
struct Plan {
    saga: Saga,
    /// The step that was tried, and what came of it.
    tried: Step,
    outcome: Outcome,
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

/// Answers what the driver does next, and whether there is anything to publish.
async fn write_locked(
    conn: &mut PgConnection,
    settings: &SagaSettings,
    publisher: &Publisher,
    step: StepRecord,
) -> Result<(Recorded, bool), SagaError> {
    let held = sagas::hold(conn, &step.saga).await?.ok_or(SagaError::Fenced)?;
    let mut plan = step.plan(held, settings)?;
    let mut event = None;
    if plan.order != plan.before {
        let change = orders::Change {
            before: &plan.before,
            after: &plan.order,
        };
        plan.order.version = orders::update(conn, change).await?;
        if plan.order.sequence() > plan.before.sequence() {
            event = Some(plan.span.in_scope(|| status_event(publisher, &plan.order)));
        }
    }
    outbox::append(conn, event.as_slice()).await?;
    sagas::log(conn, &plan.lines).await?;
    sagas::update(conn, &plan.saga, &plan.progress).await?;
    let answer = plan.answer()?;
    if let Some(stored) = answer.stored {
        tell_forgotten(1, idempotency::complete_many(conn, &[stored]).await?);
    }
    Ok((plan.recorded(answer.response), event.is_some()))
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
            tried: self.tried,
            outcome: self.report.outcome,
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
    /// What the client of a checkout or a refund that ends is told; it holds the order's version after.
    fn answer(&self) -> Result<Answer, SagaError> {
        let (payload, Then::Ended(end)) = (&self.saga.payload, &self.then) else {
            return Ok(Answer::default());
        };
        let response = match self.saga.kind {
            Kind::Checkout => self
                .span
                .in_scope(|| answer::of_checkout(&self.order, *end, payload.refusal.as_ref()))?,
            Kind::Refund if payload.idempotency.is_some() => {
                answer::of_refund(&self.order, *end, payload.refusal.as_ref())?
            }
            _ => return Ok(Answer::default()),
        };
        let key = payload.idempotency.as_ref();
        let stored = key.map(|key| (RequestKey::new(&key.caller, &key.key, &[]), response.clone()));
        Ok(Answer {
            response: Some(response),
            stored,
        })
    }

    /// Tells of what is written from now on.
    fn recorded(self, answer: Option<StoredResponse>) -> Recorded {
        count(self.tried, self.outcome);
        if self.progress.state == SagaState::Stuck {
            self.span.in_scope(|| {
                tracing::error!(
                    saga.step = %self.tried, saga.attempts = self.saga.attempts,
                    error = self.progress.last_error, "a saga is stuck"
                );
            });
        }
        match self.then {
            Then::Next(after) => Recorded::Next {
                driven: Box::new((self.saga, self.order)),
                after,
            },
            Then::Parked => Recorded::Parked,
            Then::Ended(end) => {
                metrics::counter!("saga_ends_total", "kind" => self.saga.kind.as_str(), "end" => label(end))
                    .increment(1);
                Recorded::Ended(Box::new(Ended {
                    end,
                    order: self.order,
                    answer,
                }))
            }
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
