use std::sync::Arc;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{Money, OrderId};
use sqlx::PgConnection;

use super::{Begun, Payments, Reply, claim};
use crate::domain::{OpenOperation, OperationKind, State, Status};
use crate::error::PaymentError;
use crate::store::operations;
use crate::store::payments::{self, By};
use crate::store::slots::{self, Slot};

impl Payments {
    /// Takes what is held, whole or in part; the rest is let go. Once for an order.
    pub async fn capture(
        self: &Arc<Self>,
        order: OrderId,
        amount: Option<Money>,
        key: &RequestKey,
    ) -> Result<Reply, PaymentError> {
        let went = self.go(|| {
            let (this, key) = (Arc::clone(self), key.clone());
            async move {
                let pool = this.pool.clone();
                run_tx(&pool, "capture_begin", |conn| {
                    let (this, key) = (Arc::clone(&this), key.clone());
                    Box::pin(async move { this.begin_capture(conn, order, amount, &key).await })
                })
                .await
            }
        });
        let (payment, replayed, refused) = went.await?.payment()?;
        match refused {
            Some(_) if payment.status() == Status::Voided => Err(invalid(Status::Voided)),
            Some(code) => Err(PaymentError::Refused { code }),
            None => Ok(Reply { payment, replayed }),
        }
    }

    async fn begin_capture(
        &self,
        conn: &mut PgConnection,
        order: OrderId,
        amount: Option<Money>,
        key: &RequestKey,
    ) -> Result<Begun, PaymentError> {
        let now = self.clock.now();
        let operation_id = self.ids.next();
        claim(conn, key, operation_id, now).await?;
        let Some(payment) = payments::lock(conn, By::Order(order)).await? else {
            return match slots::find(conn, order).await? {
                Some(Slot::Tombstone) => Err(invalid(Status::Voided)),
                _ => Err(PaymentError::NotFound),
            };
        };
        if amount.is_some_and(|amount| amount.currency != payment.terms.amount.currency) {
            return Err(PaymentError::OtherCurrency);
        }
        match &payment.state {
            State::Captured { captured_minor, .. } | State::Refunded { captured_minor } => {
                if amount.is_none_or(|amount| amount.amount_minor == *captured_minor) {
                    return Ok(Begun::Done(payment));
                }
                return Err(invalid(payment.status()));
            }
            State::Authorized { .. } => {}
            _ => return Err(invalid(payment.status())),
        }
        if let Some(open) = operations::open_of(conn, payment.id).await? {
            return Ok(Begun::Wait(open.id));
        }
        if payment.void_requested {
            return Err(invalid(Status::Voided));
        }
        let at_most_minor = payment.terms.amount.amount_minor;
        let asked_minor = amount.map_or(at_most_minor, |amount| amount.amount_minor);
        if !(1..=at_most_minor).contains(&asked_minor) {
            return Err(PaymentError::OutOfBounds {
                action: "captured",
                asked_minor,
                at_most_minor,
            });
        }
        let provider_key = format!("order:{order}:capture");
        let operation = OpenOperation::first(
            operation_id,
            payment.id,
            OperationKind::Capture,
            provider_key,
            Some(asked_minor),
            now,
        );
        operations::start(conn, &operation, self.lease(now)).await?;
        Ok(Begun::Drive(operation, payment))
    }
}

fn invalid(from: Status) -> PaymentError {
    PaymentError::InvalidTransition {
        from,
        action: "captured",
    }
}
