//! The use cases; each owns its transactions.
//!
//! Whatever is asked of the provider is an operation: recorded before it is tried, with the key under
//! which the provider does it at most once, and after its outcome is known. A payment has one open
//! operation at most. Its driver holds a lease; when the driver dies, or hears nothing, a repeat of
//! the request or the recovery worker takes over and asks the provider with the same key.

mod apply;
mod authorize;
mod batches;
mod capture;
mod conclude;
mod drive;
mod events;
mod reconcile;
mod recover;
mod refund;
mod sites;
mod void;
mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ferrocart_config::SecretString;
use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::Combiner;
use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey};
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_types::{PaymentId, SharedClock, SharedIds, Timestamp, UserId};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::{OpenOperation, Payment};
use crate::error::PaymentError;
use crate::provider::PaymentProvider;
use crate::store::payments::{self, By};

use drive::Settled;

pub use batches::{Openings, Outcomes, Standings};
pub use reconcile::Schedule;
pub use void::{GROUP, Voided};
pub use webhook::Taken;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// One call of the provider, at the longest.
    pub call: Duration,
    /// Asking again for an outcome, while the caller waits.
    pub resolve: Duration,
}

/// Room between the end of a call and the end of its lease.
const LEASE_MARGIN: Duration = Duration::from_secs(2);
/// How often a request looks for the outcome of what somebody else drives.
const POLL: Duration = Duration::from_millis(20);

pub struct Payments {
    pub pool: PgPool,
    pub openings: Combiner<Openings>,
    pub outcomes: Combiner<Outcomes>,
    pub standings: Combiner<Standings>,
    pub provider: Arc<dyn PaymentProvider>,
    pub publisher: Publisher,
    pub relay: RelayHandle,
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub patience: Patience,
    /// The shop's public key at the provider, for its customers' browsers.
    pub publishable_key: Option<String>,
    /// Wakes the recovery worker.
    pub to_recover: Notify,
    /// Wakes the reconciliation.
    pub to_reconcile: Notify,
}

/// What a request came to.
#[derive(Debug)]
pub struct Reply {
    pub payment: Payment,
    /// Answered from what an earlier request did.
    pub replayed: bool,
}

/// How a request goes on behind its first transaction.
enum Begun {
    /// There is no payment.
    Nothing,
    /// It is done already.
    Done(Payment),
    /// This process drives the operation of the payment now.
    Drive(OpenOperation, Payment),
    /// Something is under way: look again when it is over.
    Wait(Uuid),
}

/// How a request ended.
enum Went {
    Nothing,
    Done(Payment),
    Driven(Settled),
}

impl Went {
    /// The payment, whether it was so before, and the provider's code if it refused.
    fn payment(self) -> Result<(Payment, bool, Option<String>), PaymentError> {
        match self {
            Self::Nothing => Err(PaymentError::NotFound),
            Self::Done(payment) => Ok((payment, true, None)),
            Self::Driven(Settled { payment, refused }) => Ok((payment, false, refused)),
        }
    }
}

impl Payments {
    pub async fn find(&self, by: By<'_>) -> Result<Option<Payment>, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        Ok(payments::find(&mut conn, by).await?)
    }

    /// What the customer confirms the payment with. The provider keeps it; nothing here does.
    pub async fn client_secret(
        &self,
        payment: PaymentId,
        customer: UserId,
    ) -> Result<SecretString, PaymentError> {
        let payment = self
            .find(By::Id(payment))
            .await?
            .filter(|payment| payment.terms.customer_id == customer)
            .ok_or(PaymentError::NotFound)?;
        match &payment.intent {
            Some(intent)
                if payment.waits_for_customer()
                    && payment.terms.method.is_none()
                    && !payment.void_requested =>
            {
                Ok(self.provider.client_secret(intent).await?)
            }
            _ => Err(PaymentError::NotConfirmable(payment.status())),
        }
    }

    fn lease(&self, now: Timestamp) -> Timestamp {
        let lease = self.patience.call + LEASE_MARGIN;
        now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX)
    }

    /// Longer than one call and the asking after it.
    fn deadline(&self) -> Instant {
        Instant::now() + self.patience.call + self.patience.resolve + LEASE_MARGIN
    }

    /// Begins, and begins again for as long as something else of the payment is under way.
    async fn go<F, Fut>(self: &Arc<Self>, begin: F) -> Result<Went, PaymentError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Begun, PaymentError>>,
    {
        let deadline = self.deadline();
        loop {
            match begin().await? {
                Begun::Nothing => return Ok(Went::Nothing),
                Begun::Done(payment) => return Ok(Went::Done(payment)),
                Begun::Drive(operation, payment) => {
                    let settled = self.settle(operation, Some(payment), deadline).await;
                    return settled.map(Went::Driven);
                }
                Begun::Wait(id) => self.await_end(id, deadline).await?,
            }
        }
    }
}

/// Claims the request's key for `resource`; answers the resource that the key stands for, and whether
/// the key is new. The operation holds the outcome, so the key is never completed: a repeat always
/// goes to the operation.
async fn claim(
    conn: &mut PgConnection,
    key: &RequestKey,
    resource: Uuid,
    now: Timestamp,
) -> Result<(Uuid, bool), PaymentError> {
    match idempotency::claim(conn, key, resource, now, Duration::ZERO).await? {
        Claim::Fresh => Ok((resource, true)),
        Claim::Reused => Err(PaymentError::KeyReused),
        Claim::Resume { resource_id }
        | Claim::InProgress { resource_id, .. }
        | Claim::Replay { resource_id, .. } => Ok((resource_id, false)),
    }
}
