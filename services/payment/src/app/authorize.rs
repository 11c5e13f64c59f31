use std::sync::Arc;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{PaymentId, Timestamp};
use sqlx::PgConnection;

use super::{Begun, Payments, Reply, claim};
use crate::domain::{OpenOperation, OperationKind, Payment, State, Status, Terms};
use crate::error::PaymentError;
use crate::store::openings::Opening;
use crate::store::operations;
use crate::store::payments::{self, By};
use crate::store::slots::{self, Slot};

impl Payments {
    /// Holds the order's amount on the customer's card; once for an order, however often it is asked. Without a
    /// method the provider's intent is made, which the customer confirms there; a method may still be named
    /// later, once.
    pub async fn authorize(self: &Arc<Self>, terms: Terms, key: &RequestKey) -> Result<Reply, PaymentError> {
        if let Some(retry_after) = self.provider.closed_for()
            && self.find(By::Order(terms.order_id)).await?.is_none()
        {
            // Nothing is recorded that could not be tried.
            return Err(PaymentError::ProviderUnavailable { retry_after });
        }
        let went = self.go(|| {
            let (this, terms, key) = (Arc::clone(self), terms.clone(), key.clone());
            async move {
                if let Some(begun) = this.open(&terms, &key).await? {
                    return Ok(begun);
                }
                let pool = this.pool.clone();
                run_tx(&pool, "authorize_begin", |conn| {
                    let (this, terms, key) = (Arc::clone(&this), terms.clone(), key.clone());
                    Box::pin(async move { this.begin_authorize(conn, &terms, &key).await })
                })
                .await
            }
        });
        let (payment, replayed, _) = went.await?.payment()?;
        let payment = held(payment)?;
        Ok(Reply { payment, replayed })
    }

    /// The first request of an order, in one statement with others; `None` when it is not the first, or its key
    /// is taken.
    async fn open(&self, terms: &Terms, key: &RequestKey) -> Result<Option<Begun>, PaymentError> {
        let now = self.clock.now();
        let payment = Payment::open(PaymentId(self.ids.next()), terms.clone(), now);
        let operation = self.authorization(&payment, now);
        let opening = Opening {
            payment: payment.clone(),
            operation: operation.clone(),
            leased_until: self.lease(now),
            key: key.clone(),
        };
        let opened = self.openings.run(opening).await?;
        Ok(opened.then_some(Begun::Drive(operation, payment)))
    }

    fn authorization(&self, payment: &Payment, now: Timestamp) -> OpenOperation {
        let verb = match payment.intent {
            Some(_) => "confirm",
            None => "authorize",
        };
        let provider_key = format!("order:{}:{verb}", payment.terms.order_id);
        OpenOperation::first(
            self.ids.next(),
            payment.id,
            OperationKind::Authorize,
            provider_key,
            None,
            now,
        )
    }

    async fn begin_authorize(
        &self,
        conn: &mut PgConnection,
        terms: &Terms,
        key: &RequestKey,
    ) -> Result<Begun, PaymentError> {
        let now = self.clock.now();
        claim(conn, key, self.ids.next(), now).await?;
        if slots::find(conn, terms.order_id).await? == Some(Slot::Tombstone) {
            return Err(given_up());
        }
        let mut payment = payments::lock(conn, By::Order(terms.order_id))
            .await?
            .ok_or(PaymentError::NotFound)?;
        if !payment.terms.fit(terms) {
            return Err(PaymentError::OtherTerms);
        }
        if payment.status() != Status::Pending {
            return Ok(Begun::Done(payment));
        }
        if let Some(open) = operations::open_of(conn, payment.id).await? {
            return Ok(Begun::Wait(open.id));
        }
        if payment.void_requested {
            return Err(given_up());
        }
        match (&payment.terms.method, &terms.method) {
            (None, Some(method)) => {
                payments::pay_with(conn, payment.id, method).await?;
                payment.terms.method = Some(method.clone());
            }
            _ if payment.waits_for_customer() => return Ok(Begun::Done(payment)),
            _ => {}
        }
        // Recorded before, but the provider was never asked; or asked without the method.
        let again = self.authorization(&payment, now);
        operations::start(conn, &again, self.lease(now)).await?;
        Ok(Begun::Drive(again, payment))
    }
}

/// The answer to an authorization, from where the payment stands.
fn held(payment: Payment) -> Result<Payment, PaymentError> {
    match &payment.state {
        State::Declined { .. } | State::Failed { .. } => {}
        _ if payment.void_requested => return Err(given_up()),
        _ => {}
    }
    match &payment.state {
        State::Pending if payment.waits_for_customer() => Ok(payment),
        State::RequiresAction { .. }
        | State::Authorized { .. }
        | State::Captured { .. }
        | State::Refunded { .. } => Ok(payment),
        State::Declined { code } => Err(PaymentError::Declined {
            payment_id: payment.id,
            code: code.clone(),
        }),
        State::Failed { code } => Err(PaymentError::Refused { code: code.clone() }),
        State::Voided { .. } => Err(given_up()),
        State::Pending => Err(PaymentError::OutcomeUnknown),
    }
}

/// Whoever asks must not believe that money is held.
fn given_up() -> PaymentError {
    PaymentError::InvalidTransition {
        from: Status::Voided,
        action: "authorized",
    }
}
