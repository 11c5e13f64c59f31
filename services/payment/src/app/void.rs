use std::sync::Arc;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::{inbox, run_tx};
use ferrocart_types::{EventId, OrderId};
use sqlx::PgConnection;

use super::{Begun, Payments, Reply, Went, claim};
use crate::domain::{OpenOperation, OperationKind, Payment, Seen, Status};
use crate::error::PaymentError;
use crate::store::operations;
use crate::store::payments::{self, By};
use crate::store::slots;

/// The consumer group of this service.
pub const GROUP: &str = "payment";

/// What a void came to.
#[derive(Debug)]
pub enum Voided {
    Payment(Reply),
    /// There is no payment, and there will be none.
    NothingToVoid,
}

/// What a void finds.
enum Found {
    Nothing,
    /// Nothing is held, or not any more.
    Over(Payment),
    /// Something is or may be held.
    ToVoid(Payment),
    /// The money is taken.
    Taken(Status),
}

impl Payments {
    /// Lets go what is held for the order, and keeps it from being paid later.
    pub async fn void(
        self: &Arc<Self>,
        order: OrderId,
        reason: &str,
        key: Option<&RequestKey>,
    ) -> Result<Voided, PaymentError> {
        let went = self.go(|| {
            let (this, key, reason) = (Arc::clone(self), key.cloned(), reason.to_owned());
            async move {
                let pool = this.pool.clone();
                run_tx(&pool, "void_begin", |conn| {
                    let (this, key, reason) = (Arc::clone(&this), key.clone(), reason.clone());
                    Box::pin(async move { this.begin_void(conn, order, &reason, key.as_ref()).await })
                })
                .await
            }
        });
        let went = went.await?;
        self.relay.poke();
        if let Went::Nothing = went {
            return Ok(Voided::NothingToVoid);
        }
        let (payment, replayed, refused) = went.payment()?;
        match refused {
            Some(_) if payment.state.captured_minor() > 0 => Err(invalid(payment.status())),
            Some(code) => Err(PaymentError::Refused { code }),
            None => Ok(Voided::Payment(Reply { payment, replayed })),
        }
    }

    async fn begin_void(
        &self,
        conn: &mut PgConnection,
        order: OrderId,
        reason: &str,
        key: Option<&RequestKey>,
    ) -> Result<Begun, PaymentError> {
        let now = self.clock.now();
        let operation_id = self.ids.next();
        if let Some(key) = key {
            claim(conn, key, operation_id, now).await?;
        }
        let payment = match self.request_void(conn, order, reason).await? {
            Found::Nothing => return Ok(Begun::Nothing),
            Found::Over(payment) => return Ok(Begun::Done(payment)),
            Found::Taken(from) => return Err(invalid(from)),
            Found::ToVoid(payment) => payment,
        };
        if let Some(open) = operations::open_of(conn, payment.id).await? {
            return Ok(Begun::Wait(open.id));
        }
        if payment.status() == Status::Pending && payment.intent.is_none() {
            // The provider was never asked, so there is nothing to let go there.
            let seen = Seen::Cancelled {
                reason: reason.to_owned(),
            };
            return Ok(Begun::Done(self.apply(conn, payment.id, None, &seen).await?));
        }
        let provider_key = format!("order:{order}:void");
        let operation = OpenOperation::first(
            operation_id,
            payment.id,
            OperationKind::Void,
            provider_key,
            None,
            now,
        );
        operations::start(conn, &operation, self.lease(now)).await?;
        Ok(Begun::Drive(operation, payment))
    }

    /// Remembers that the order will not be paid: as a tombstone where there is no payment yet, else on
    /// the payment, whatever is under way for it.
    async fn request_void(
        &self,
        conn: &mut PgConnection,
        order: OrderId,
        reason: &str,
    ) -> Result<Found, PaymentError> {
        let now = self.clock.now();
        if slots::entomb(conn, order, reason, now).await? {
            return Ok(Found::Nothing);
        }
        let Some(payment) = payments::lock(conn, By::Order(order)).await? else {
            return Ok(Found::Nothing);
        };
        match payment.status() {
            // Whoever has the client secret of a declined intent could confirm it again.
            Status::Declined if payment.intent.is_some() && !payment.let_go => {
                payments::request_void(conn, payment.id, now).await?;
                Ok(Found::ToVoid(payment))
            }
            Status::Voided | Status::Declined | Status::Failed => Ok(Found::Over(payment)),
            from @ (Status::Captured | Status::Refunded) => Ok(Found::Taken(from)),
            Status::Pending | Status::RequiresAction | Status::Authorized => {
                payments::request_void(conn, payment.id, now).await?;
                Ok(Found::ToVoid(payment))
            }
        }
    }

    /// The safety net behind the order service's own void: an order that is cancelled holds no money.
    /// The recovery worker does the rest.
    pub async fn order_cancelled(
        self: &Arc<Self>,
        event: EventId,
        order: OrderId,
        reason: &str,
    ) -> Result<(), PaymentError> {
        let found = run_tx(&self.pool, "order_cancelled", |conn| {
            let (this, reason) = (Arc::clone(self), reason.to_owned());
            Box::pin(async move {
                if !inbox::record(conn, GROUP, event, this.clock.now()).await? {
                    return Ok(None);
                }
                this.request_void(conn, order, &reason).await.map(Some)
            })
        })
        .await?;
        match found {
            Some(Found::ToVoid(_)) => self.to_recover.notify_one(),
            Some(Found::Taken(Status::Captured)) => {
                tracing::error!(order.id = %order, "the payment of a cancelled order is captured");
                metrics::counter!("payments_captured_of_cancelled_orders_total").increment(1);
            }
            _ => {}
        }
        Ok(())
    }
}

fn invalid(from: Status) -> PaymentError {
    PaymentError::InvalidTransition {
        from,
        action: "voided",
    }
}
