use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_failpoint::around;
use ferrocart_pg_kit::run_tx;
use sqlx::PgConnection;

use super::drive::{Driven, Settled};
use super::{Payments, events, sites};
use crate::domain::{OpenOperation, OperationKind, OperationState, Payment, Seen, Status};
use crate::error::PaymentError;
use crate::provider::Intent;
use crate::store::{operations, outcomes};

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Short enough that what was under way ends within seconds of the provider's return.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What came of asking the provider.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) intent: Option<Intent>,
    pub(super) seen: Seen,
    /// The provider's code, if it refused.
    pub(super) refused: Option<String>,
}

impl Payments {
    /// Writes down the outcome: the payment, the books, its events and the end of the operation
    /// together.
    pub(super) async fn conclude(
        self: &Arc<Self>,
        operation: &OpenOperation,
        before: &Payment,
        outcome: Outcome,
    ) -> Result<Driven, PaymentError> {
        let record = || self.record(operation, before, &outcome);
        let settled = around(sites::of_record(operation.kind), record).await?;
        self.relay.poke();
        Ok(Driven::Settled(settled))
    }

    async fn record(
        self: &Arc<Self>,
        operation: &OpenOperation,
        before: &Payment,
        outcome: &Outcome,
    ) -> Result<Settled, PaymentError> {
        if let Some(settled) = self.write_down_at_once(operation, before, outcome).await? {
            return Ok(settled);
        }
        // The payment has moved on, or nothing is new: the row decides.
        run_tx(&self.pool, "operation_conclude", |conn| {
            let (this, operation, outcome) = (Arc::clone(self), operation.clone(), outcome.clone());
            Box::pin(async move { this.write_down(conn, &operation, outcome).await })
        })
        .await
    }

    /// In one statement with others, if the payment still stands as it was read.
    async fn write_down_at_once(
        &self,
        operation: &OpenOperation,
        before: &Payment,
        outcome: &Outcome,
    ) -> Result<Option<Settled>, PaymentError> {
        let Ok(changes) = self.changes(before, outcome.intent.as_ref(), &outcome.seen) else {
            return Ok(None);
        };
        let Some(after) = changes.last().map(|change| change.payment.clone()) else {
            return Ok(None);
        };
        let refused = outcome
            .refused
            .clone()
            .filter(|_| !reached(operation.kind, &after));
        let events: Vec<_> = changes
            .iter()
            .map(|change| events::event(&self.publisher, change).envelope)
            .collect();
        let recorded = self
            .outcomes
            .run(outcomes::Outcome {
                was: before.sequence,
                changes,
                operation: operation.clone(),
                state: end_of(refused.as_deref()),
                note: refused.clone(),
                events,
            })
            .await?;
        Ok(recorded.map(|void_requested| {
            metrics::counter!("payments_total", "status" => after.status().as_str()).increment(1);
            Settled {
                payment: Payment {
                    void_requested,
                    ..after
                },
                refused,
            }
        }))
    }

    async fn write_down(
        &self,
        conn: &mut PgConnection,
        operation: &OpenOperation,
        outcome: Outcome,
    ) -> Result<Settled, PaymentError> {
        let Outcome {
            intent,
            seen,
            refused,
        } = outcome;
        let payment = self
            .apply(conn, operation.payment_id, intent.as_ref(), &seen)
            .await?;
        self.note_let_go(conn, &payment, &seen).await?;
        let refused = refused.filter(|_| !reached(operation.kind, &payment));
        let state = end_of(refused.as_deref());
        // Ended by somebody else meanwhile: the payment is what it is either way.
        operations::finish(conn, operation, state, refused.as_deref(), self.clock.now()).await?;
        Ok(Settled { payment, refused })
    }

    /// What was never sent by anybody is given up, so that it does not happen later unasked.
    pub(super) async fn not_sent(&self, operation: &OpenOperation, reason: &str) -> Result<(), PaymentError> {
        if operation.attempt > 1 {
            return self.leave_unknown(operation, reason).await;
        }
        let mut conn = self.pool.acquire().await?;
        let abandoned = OperationState::Abandoned;
        operations::finish(&mut conn, operation, abandoned, Some(reason), self.clock.now()).await?;
        Ok(())
    }

    pub(super) async fn leave_unknown(
        &self,
        operation: &OpenOperation,
        reason: &str,
    ) -> Result<(), PaymentError> {
        tracing::warn!(
            payment.id = %operation.payment_id,
            operation.kind = %operation.kind,
            operation.attempt = operation.attempt,
            reason,
            "the outcome is not known yet"
        );
        metrics::counter!("payment_outcomes_unknown_total", "kind" => operation.kind.as_str()).increment(1);
        let now = self.clock.now();
        let next_try_at = now + backoff(operation.attempt);
        let mut conn = self.pool.acquire().await?;
        operations::leave_unknown(&mut conn, operation, reason, now, next_try_at).await?;
        Ok(())
    }
}

fn end_of(refused: Option<&str>) -> OperationState {
    match refused {
        Some(_) => OperationState::Refused,
        None => OperationState::Succeeded,
    }
}

/// Whether the payment is where the operation was to bring it.
fn reached(kind: OperationKind, payment: &Payment) -> bool {
    match kind {
        OperationKind::Authorize => {
            matches!(payment.status(), Status::Authorized | Status::RequiresAction)
        }
        OperationKind::Capture => payment.state.captured_minor() > 0,
        OperationKind::Void => matches!(payment.status(), Status::Voided | Status::Declined),
        OperationKind::Refund => false,
    }
}

fn backoff(attempt: i32) -> TimeDelta {
    let factor = 2_u32.saturating_pow(u32::try_from(attempt).unwrap_or(0).min(16));
    let wait = BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX);
    TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX)
}
