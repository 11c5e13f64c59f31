use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ferrocart_failpoint::around;
use uuid::Uuid;

use super::conclude::Outcome;
use super::{POLL, Payments, sites};
use crate::domain::{IntentId, OpenOperation, OperationKind, OperationState, Payment, Seen};
use crate::error::PaymentError;
use crate::provider::{Intent, ProviderError, Refund};
use crate::store::operations;
use crate::store::payments::By;

/// How often a request asks for the outcome of its operation before it leaves that to recovery.
const TRIES_MAX: u32 = 2;
/// Shorter than the day for which Stripe keeps keys.
const KEY_LIFE: TimeDelta = TimeDelta::hours(20);

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
    /// Drives the operation to its end, asking once more if the answer is lost. `payment` is the
    /// payment as it stood when the operation was recorded, if that was just now.
    pub(super) async fn settle(
        self: &Arc<Self>,
        operation: OpenOperation,
        payment: Option<Payment>,
        deadline: Instant,
    ) -> Result<Settled, PaymentError> {
        let id = operation.id;
        let mut known = payment;
        let mut mine = Some((operation, self.patience.call));
        let mut tries = 0;
        loop {
            let driven = match mine.take() {
                Some((operation, at_most)) => {
                    tries += 1;
                    let payment = match known.take() {
                        Some(payment) => payment,
                        None => self.payment_of(&operation).await?,
                    };
                    Some(self.drive(&operation, payment, at_most).await?)
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
                return self.settle(operation, None, deadline).await.map(|_| ());
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

    pub(super) async fn payment_of(&self, operation: &OpenOperation) -> Result<Payment, PaymentError> {
        let payment = self.find(By::Id(operation.payment_id)).await?;
        payment.ok_or(PaymentError::NotFound)
    }

    /// One try: asks the provider, and records what came of it.
    pub(super) async fn drive(
        self: &Arc<Self>,
        operation: &OpenOperation,
        payment: Payment,
        at_most: Duration,
    ) -> Result<Driven, PaymentError> {
        let ask = around(sites::of_call(operation.kind), || self.ask(operation, &payment));
        let asked = tokio::time::timeout(at_most + POLL, ask).await;
        let unknown = |reason: &str| ProviderError::Unknown {
            reason: reason.to_owned(),
        };
        match asked.unwrap_or_else(|_| Err(unknown("no answer in time"))) {
            Ok(Answer { intent, refused }) => {
                let outcome = Outcome {
                    seen: intent.seen.clone(),
                    intent: Some(intent),
                    refused,
                };
                self.conclude(operation, &payment, outcome).await
            }
            Err(ProviderError::Refused { code }) => {
                let outcome = Outcome {
                    intent: None,
                    seen: Seen::Refused { code: code.clone() },
                    refused: Some(code),
                };
                self.conclude(operation, &payment, outcome).await
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
        let asked = match self.authorize_or_confirm(operation, payment).await {
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
            } if payment.terms.method.is_some() => Err(ProviderError::Unknown {
                reason: "the provider has not decided yet".to_owned(),
            }),
            intent => Ok(Answer {
                intent,
                refused: None,
            }),
        }
    }

    /// Confirms the intent that was made without a method, if there is one.
    async fn authorize_or_confirm(
        &self,
        operation: &OpenOperation,
        payment: &Payment,
    ) -> Result<Intent, ProviderError> {
        let key = operation.provider_key.as_str();
        let Some(id) = &payment.intent else {
            return self.provider.authorize(payment, key).await;
        };
        match self.provider.confirm(id, payment, key).await {
            // The customer may have confirmed it meanwhile; where not, the method that was named is no good.
            Err(ProviderError::Refused { code }) => match self.look(id, None).await?.intent {
                Intent {
                    id,
                    payment_id,
                    amount,
                    seen: Seen::Undecided,
                } => Ok(Intent {
                    id,
                    payment_id,
                    amount,
                    seen: Seen::Declined { code },
                }),
                intent => Ok(intent),
            },
            asked => asked,
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
}

struct Answer {
    intent: Intent,
    refused: Option<String>,
}

async fn pause_until(deadline: Instant) -> Result<(), PaymentError> {
    if Instant::now() >= deadline {
        return Err(PaymentError::OutcomeUnknown);
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}
