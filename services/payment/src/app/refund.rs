use std::sync::Arc;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{Money, OrderId};
use sqlx::PgConnection;

use super::{Begun, Payments, Reply, claim};
use crate::domain::{OpenOperation, OperationKind, OperationState, Payment, Status};
use crate::error::PaymentError;
use crate::store::operations;
use crate::store::payments::{self, By};

impl Payments {
    /// Gives back a part of what was captured, or all that is left of it.
    pub async fn refund(
        self: &Arc<Self>,
        order: OrderId,
        amount: Option<Money>,
        key: &RequestKey,
    ) -> Result<Reply, PaymentError> {
        let went = self.go(|| {
            let (this, key) = (Arc::clone(self), key.clone());
            async move {
                let pool = this.pool.clone();
                run_tx(&pool, "refund_begin", |conn| {
                    let (this, key) = (Arc::clone(&this), key.clone());
                    Box::pin(async move { this.begin_refund(conn, order, amount, &key).await })
                })
                .await
            }
        });
        let (payment, replayed, refused) = went.await?.payment()?;
        match refused {
            Some(code) => Err(refusal(&payment, amount, code)),
            None => Ok(Reply { payment, replayed }),
        }
    }

    async fn begin_refund(
        &self,
        conn: &mut PgConnection,
        order: OrderId,
        amount: Option<Money>,
        key: &RequestKey,
    ) -> Result<Begun, PaymentError> {
        let now = self.clock.now();
        // Each key is a refund of its own; a repeat of the key goes to the first one's operation.
        let (operation_id, new) = claim(conn, key, self.ids.next(), now).await?;
        let payment = payments::lock(conn, By::Order(order))
            .await?
            .ok_or(PaymentError::NotFound)?;
        if amount.is_some_and(|amount| amount.currency != payment.terms.amount.currency) {
            return Err(PaymentError::OtherCurrency);
        }
        if !new && let Some(earlier) = operations::find(conn, operation_id).await? {
            match earlier.state {
                OperationState::Started | OperationState::Unknown => return Ok(Begun::Wait(earlier.id)),
                OperationState::Succeeded => return Ok(Begun::Done(payment)),
                OperationState::Refused => {
                    return Err(refusal(&payment, amount, earlier.note.unwrap_or_default()));
                }
                OperationState::Abandoned => {}
            }
        }
        match payment.status() {
            // All went back: that is what was asked for.
            Status::Refunded if amount.is_none() => return Ok(Begun::Done(payment)),
            Status::Captured | Status::Refunded => {}
            from => {
                return Err(PaymentError::InvalidTransition {
                    from,
                    action: "refunded",
                });
            }
        }
        if let Some(open) = operations::open_of(conn, payment.id).await? {
            return Ok(Begun::Wait(open.id));
        }
        let at_most_minor = payment.refundable_minor();
        let asked_minor = amount.map_or(at_most_minor, |amount| amount.amount_minor);
        if !(1..=at_most_minor).contains(&asked_minor) {
            return Err(too_much(&payment, asked_minor));
        }
        let operation = OpenOperation::first(
            operation_id,
            payment.id,
            OperationKind::Refund,
            format!("refund:{operation_id}"),
            Some(asked_minor),
            now,
        );
        operations::start(conn, &operation, self.lease(now)).await?;
        Ok(Begun::Drive(operation, payment))
    }
}

fn too_much(payment: &Payment, asked_minor: i64) -> PaymentError {
    PaymentError::OutOfBounds {
        action: "refunded",
        asked_minor,
        at_most_minor: payment.refundable_minor(),
    }
}

/// Somebody refunded at the provider's own desk, for example.
fn refusal(payment: &Payment, amount: Option<Money>, code: String) -> PaymentError {
    match code.as_str() {
        "amount_too_large" | "charge_already_refunded" => {
            let asked = amount.map_or(payment.state.captured_minor(), |amount| amount.amount_minor);
            too_much(payment, asked)
        }
        _ => PaymentError::Refused { code },
    }
}
