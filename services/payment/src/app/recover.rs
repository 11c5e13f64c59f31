use std::sync::Arc;

use chrono::TimeDelta;
use ferrocart_pg_kit::{idempotency, inbox};
use futures::StreamExt;

use super::{Payments, Voided};
use crate::domain::OpenOperation;
use crate::error::PaymentError;
use crate::store::{operations, payments, provider_events, slots};

const BATCH_MAX: i64 = 32;
/// How many operations are asked for at once; requests of customers come first.
const CONCURRENCY: usize = 8;
const FORGET_MAX: i64 = 1_000;
/// Longer than any retry of a request; DESIGN asks for a day.
const KEYS_KEPT: TimeDelta = TimeDelta::days(3);
/// Longer than topics keep events and the provider repeats its own.
const EVENTS_KEPT: TimeDelta = TimeDelta::days(30);

impl Payments {
    /// Goes on with what nobody drives: operations whose outcome is not known, and payments of orders
    /// that were given up. Answers how many it found.
    pub async fn recover(self: &Arc<Self>) -> Result<usize, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let now = self.clock.now();
        let due = operations::take_over_due(&mut conn, now, self.lease(now), BATCH_MAX).await?;
        drop(conn);
        let found = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(CONCURRENCY, |operation| self.resume(operation))
            .await;
        Ok(found + self.void_requested().await? + self.void_expired().await?)
    }

    /// Voids what was held and not captured in time: the provider refuses to capture it by now, and the
    /// order must hear of it. From then on the wish to void stands, whatever becomes of the first try.
    async fn void_expired(self: &Arc<Self>) -> Result<usize, PaymentError> {
        if self.provider.closed_for().is_some() {
            return Ok(0);
        }
        let mut conn = self.pool.acquire().await?;
        let orders = payments::expired(&mut conn, self.clock.now(), BATCH_MAX).await?;
        drop(conn);
        let found = orders.len();
        futures::stream::iter(orders)
            .for_each_concurrent(CONCURRENCY, |order| async move {
                match self.void(order, "AUTHORIZATION_EXPIRED", None).await {
                    Ok(_) => {
                        tracing::warn!(order.id = %order, "an authorization ended uncaptured and was voided");
                        metrics::counter!("payment_authorizations_expired_total").increment(1);
                    }
                    Err(error) => {
                        tracing::warn!(order.id = %order, error = %error, "a payment could not be voided yet");
                    }
                }
            })
            .await;
        Ok(found)
    }

    async fn resume(self: &Arc<Self>, operation: OpenOperation) {
        // One that fails must not keep the others from their turn; its lease ends and it comes again.
        let resumed = async {
            let payment = self.payment_of(&operation).await?;
            self.drive(&operation, payment, self.patience.call).await
        };
        if let Err(error) = resumed.await {
            tracing::error!(
                payment.id = %operation.payment_id,
                operation.kind = %operation.kind,
                operation.attempt = operation.attempt,
                error = %error,
                "an operation could not be resumed"
            );
        }
    }

    async fn void_requested(self: &Arc<Self>) -> Result<usize, PaymentError> {
        if self.provider.closed_for().is_some() {
            return Ok(0);
        }
        let mut conn = self.pool.acquire().await?;
        let orders = payments::to_void(&mut conn, BATCH_MAX).await?;
        drop(conn);
        let found = orders.len();
        futures::stream::iter(orders)
            .for_each_concurrent(CONCURRENCY, |order| async move {
                match self.void(order, "ORDER_CANCELLED", None).await {
                    Ok(Voided::Payment(_) | Voided::NothingToVoid) => {
                        tracing::info!(order.id = %order, "the payment of a cancelled order was voided");
                    }
                    Err(error) => {
                        tracing::warn!(order.id = %order, error = %error, "a payment could not be voided yet");
                    }
                }
            })
            .await;
        Ok(found)
    }

    /// How much is open, for the metrics.
    pub async fn measure(&self) -> Result<(), PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let (open, since) = operations::open_count(&mut conn).await?;
        let age = since.map_or(0, |since| (self.clock.now() - since).num_seconds());
        let gauge = |value: i64| f64::from(i32::try_from(value).unwrap_or(i32::MAX));
        metrics::gauge!("payment_operations_open").set(gauge(open));
        metrics::gauge!("payment_operations_oldest_seconds").set(gauge(age));
        Ok(())
    }

    /// Drops what is too old to be asked for again, a bounded number of rows of each kind.
    pub async fn forget(&self) -> Result<(), PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let now = self.clock.now();
        idempotency::forget(&mut conn, now - KEYS_KEPT, FORGET_MAX).await?;
        inbox::forget(&mut conn, now - EVENTS_KEPT, FORGET_MAX).await?;
        provider_events::forget(&mut conn, now - EVENTS_KEPT, FORGET_MAX).await?;
        slots::forget_tombstones(&mut conn, now - EVENTS_KEPT, FORGET_MAX).await?;
        Ok(())
    }
}
