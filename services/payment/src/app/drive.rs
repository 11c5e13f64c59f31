use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ferrocart_pg_kit::run_tx;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{POLL, Payments};
use crate::domain::{IntentId, OpenOperation, OperationKind, OperationState, Payment, Seen, Status};
use crate::error::PaymentError;
use crate::provider::{Intent, ProviderError, Refund};
use crate::store::operations;
use crate::store::payments::By;

/// How often a request asks for the outcome of its operation before it leaves that to recovery.
const TRIES_MAX: u32 = 2;
/// Shorter than the day for which Stripe keeps keys.
const KEY_LIFE: TimeDelta = TimeDelta::hours(20);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Short enough that what was under way ends within seconds of the provider's return.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// An operation that is over.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) payment: Payment,
    /// The provider's code, if it refused.
    pub(super) refused: Option<String>,
}

pub(super) enum Driven {
    Settled(Settled),
    NotSent { retry_after: Duration },
    Unknown,
}

impl Payments {
    /// Drives the operation to its end, asking once more if the answer is lost.
    pub(super) async fn settle(
        self: &Arc<Self>,
        operation: OpenOperation,
        deadline: Instant,
    ) -> Result<Settled, PaymentError> {
        let id = operation.id;
        let mut mine = Some((operation, self.patience.call));
        let mut tries = 0;
        loop {
            let driven = match mine.take() {
                Some((operation, at_most)) => {
                    tries += 1;
                    Some(self.drive(&operation, at_most).await?)
                }
                None => self.ended(id).await?,
            };
            match driven {
                Some(Driven::Settled(settled)) => return Ok(settled),
                Some(Driven::NotSent { retry_after }) => {
                    return Err(PaymentError::ProviderUnavailable { retry_after });
                }
                Some(Driven::Unknown) if tries >= TRIES_MAX => return Err(PaymentError::OutcomeUnknown),
                Some(Driven::Unknown) | None => {}
            }
            mine = self
                .take_over(id)
                .await?
                .map(|operation| (operation, self.patience.resolve));
            if mine.is_none() {
                pause_until(deadline).await?;
            }
        }
    }

    /// Waits for the end of what somebody else drives; takes over when nobody does.
    pub(super) async fn await_end(self: &Arc<Self>, id: Uuid, deadline: Instant) -> Result<(), PaymentError> {
        loop {
            if self.ended(id).await?.is_some() {
                return Ok(());
            }
            if let Some(operation) = self.take_over(id).await? {
                return self.settle(operation, deadline).await.map(|_| ());
            }
            pause_until(deadline).await?;
        }
    }

    /// How the operation ended; `None` while it is open.
    async fn ended(&self, id: Uuid) -> Result<Option<Driven>, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let stored = operations::find(&mut conn, id)
            .await?
            .ok_or(PaymentError::NotFound)?;
        let refused = match stored.state {
            OperationState::Started | OperationState::Unknown => return Ok(None),
            OperationState::Abandoned => {
                let retry_after = Duration::from_secs(1);
                return Ok(Some(Driven::NotSent { retry_after }));
            }
            OperationState::Succeeded => None,
            OperationState::Refused => Some(stored.note.unwrap_or_default()),
        };
        let payment = crate::store::payments::find(&mut conn, By::Id(stored.payment_id))
            .await?
            .ok_or(PaymentError::NotFound)?;
        Ok(Some(Driven::Settled(Settled { payment, refused })))
    }

    async fn take_over(&self, id: Uuid) -> Result<Option<OpenOperation>, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let now = self.clock.now();
        Ok(operations::take_over(&mut conn, id, now, self.lease(now)).await?)
    }

    /// One try: asks the provider, and records what came of it.
    pub(super) async fn drive(
        self: &Arc<Self>,
        operation: &OpenOperation,
        at_most: Duration,
    ) -> Result<Driven, PaymentError> {
        let payment = self
            .find(By::Id(operation.payment_id))
            .await?
            .ok_or(PaymentError::NotFound)?;
        let asked = tokio::time::timeout(at_most + POLL, self.ask(operation, &payment)).await;
        let unknown = |reason: &str| ProviderError::Unknown {
            reason: reason.to_owned(),
        };
        match asked.unwrap_or_else(|_| Err(unknown("no answer in time"))) {
            Ok(Answer { intent, refused }) => {
                let seen = intent.seen.clone();
                self.conclude(operation, Some(intent), seen, refused).await
            }
            Err(ProviderError::Refused { code }) => {
                let seen = Seen::Refused { code: code.clone() };
                self.conclude(operation, None, seen, Some(code)).await
            }
            Err(ProviderError::NotSent { reason, retry_after }) => {
                self.not_sent(operation, &reason).await?;
                Ok(Driven::NotSent { retry_after })
            }
            Err(error @ (ProviderError::Unknown { .. } | ProviderError::KeyConflict)) => {
                self.leave_unknown(operation, &error.to_string()).await?;
                Ok(Driven::Unknown)
            }
        }
    }

    /// Asks the provider under the operation's key. `Refused` comes back as an error only when there is
    /// no intent to look at.
    async fn ask(&self, operation: &OpenOperation, payment: &Payment) -> Result<Answer, ProviderError> {
        let key = operation.provider_key.as_str();
        if operation.kind == OperationKind::Authorize {
            return self.ask_to_authorize(operation, payment).await;
        }
        let Some(intent) = &payment.intent else {
            return Err(ProviderError::Refused {
                code: "no_intent".to_owned(),
            });
        };
        let amount_minor = operation.amount_minor.unwrap_or_default();
        let asked = match operation.kind {
            OperationKind::Authorize | OperationKind::Void => {
                self.provider.cancel(intent, key).await.map(Some)
            }
            OperationKind::Capture => self.provider.capture(intent, amount_minor, key).await.map(Some),
            OperationKind::Refund if self.is_too_old(operation) => {
                tracing::error!(payment.id = %payment.id, operation.id = %operation.id, "a refund is open for too long to be sent again");
                return Err(ProviderError::Unknown {
                    reason: "too old to be sent again: people must look".to_owned(),
                });
            }
            OperationKind::Refund => {
                let refund = Refund {
                    operation_id: operation.id,
                    order_id: payment.terms.order_id,
                    payment_id: payment.id,
                    amount_minor,
                };
                self.provider.refund(intent, refund, key).await.map(|()| None)
            }
        };
        match asked {
            Ok(Some(intent)) => Ok(Answer {
                intent,
                refused: None,
            }),
            // A refund's answer does not say what went back in all.
            Ok(None) => self.look(intent, None).await,
            // What was refused may be so because it was done before: the intent tells.
            Err(ProviderError::Refused { code }) => self.look(intent, Some(code)).await,
            Err(ProviderError::KeyConflict) => self.look(intent, Some("key_conflict".to_owned())).await,
            Err(error) => Err(error),
        }
    }

    async fn ask_to_authorize(
        &self,
        operation: &OpenOperation,
        payment: &Payment,
    ) -> Result<Answer, ProviderError> {
        if self.is_too_old(operation) {
            return match self.provider.find(payment.id).await? {
                Some(intent) => Ok(Answer {
                    intent,
                    refused: None,
                }),
                None => Err(ProviderError::Refused {
                    code: "never_made".to_owned(),
                }),
            };
        }
        let asked = match self.provider.authorize(payment, &operation.provider_key).await {
            // Made under other settings, or a key that answers errors for ever: read back what there is.
            Err(error @ (ProviderError::KeyConflict | ProviderError::Unknown { .. }))
                if operation.attempt > 1 || error == ProviderError::KeyConflict =>
            {
                self.provider.find(payment.id).await.ok().flatten().ok_or(error)
            }
            asked => asked,
        };
        match asked? {
            Intent {
                seen: Seen::Undecided,
                ..
            } => Err(ProviderError::Unknown {
                reason: "the provider has not decided yet".to_owned(),
            }),
            intent => Ok(Answer {
                intent,
                refused: None,
            }),
        }
    }

    /// The provider forgets keys after a day. What may have been done before is then never sent again.
    fn is_too_old(&self, operation: &OpenOperation) -> bool {
        operation.attempt > 1 && self.clock.now() - operation.created_at > KEY_LIFE
    }

    /// The request itself had its effect or was refused, so this failing makes the outcome unknown.
    async fn look(&self, intent: &IntentId, refused: Option<String>) -> Result<Answer, ProviderError> {
        match self.provider.intent(intent).await {
            Ok(intent) => Ok(Answer { intent, refused }),
            Err(error) => Err(ProviderError::Unknown {
                reason: format!("the intent could not be read: {error}"),
            }),
        }
    }

    /// Writes down the outcome: the payment and the end of the operation in one transaction.
    async fn conclude(
        self: &Arc<Self>,
        operation: &OpenOperation,
        intent: Option<Intent>,
        seen: Seen,
        refused: Option<String>,
    ) -> Result<Driven, PaymentError> {
        let outcome = Outcome {
            intent,
            seen,
            refused,
        };
        let settled = run_tx(&self.pool, "operation_conclude", |conn| {
            let (this, operation, outcome) = (Arc::clone(self), operation.clone(), outcome.clone());
            Box::pin(async move { this.write_down(conn, &operation, outcome).await })
        })
        .await?;
        self.relay.poke();
        Ok(Driven::Settled(settled))
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
        let refused = refused.filter(|_| !reached(operation.kind, &payment));
        let state = match refused {
            Some(_) => OperationState::Refused,
            None => OperationState::Succeeded,
        };
        // Ended by somebody else meanwhile: the payment is what it is either way.
        operations::finish(conn, operation, state, refused.as_deref(), self.clock.now()).await?;
        Ok(Settled { payment, refused })
    }

    /// What was never sent by anybody is given up, so that it does not happen later unasked.
    async fn not_sent(&self, operation: &OpenOperation, reason: &str) -> Result<(), PaymentError> {
        if operation.attempt > 1 {
            return self.leave_unknown(operation, reason).await;
        }
        let mut conn = self.pool.acquire().await?;
        let abandoned = OperationState::Abandoned;
        operations::finish(&mut conn, operation, abandoned, Some(reason), self.clock.now()).await?;
        Ok(())
    }

    async fn leave_unknown(&self, operation: &OpenOperation, reason: &str) -> Result<(), PaymentError> {
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

#[derive(Clone)]
struct Outcome {
    intent: Option<Intent>,
    seen: Seen,
    refused: Option<String>,
}

struct Answer {
    intent: Intent,
    refused: Option<String>,
}

/// Whether the payment is where the operation was to bring it.
fn reached(kind: OperationKind, payment: &Payment) -> bool {
    match kind {
        OperationKind::Authorize => {
            matches!(payment.status(), Status::Authorized | Status::RequiresAction)
        }
        OperationKind::Capture => payment.state.captured_minor() > 0,
        OperationKind::Void => payment.status() == Status::Voided,
        OperationKind::Refund => false,
    }
}

fn backoff(attempt: i32) -> TimeDelta {
    let factor = 2_u32.saturating_pow(u32::try_from(attempt).unwrap_or(0).min(16));
    let wait = BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX);
    TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX)
}

async fn pause_until(deadline: Instant) -> Result<(), PaymentError> {
    if Instant::now() >= deadline {
        return Err(PaymentError::OutcomeUnknown);
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}
