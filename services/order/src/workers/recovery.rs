use std::sync::Arc;
use std::time::Duration;

use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::domain::Order;
use crate::saga::Driver;
use crate::store::sagas::Saga;
use crate::store::{orders, sagas};

/// How often the gauges are read, in rounds of looking for sagas.
const ROUNDS_PER_COUNT: u32 = 10;

/// Goes on with sagas that nobody drives: of a process that died, and those that wait for their next try.
pub(crate) struct Recovery {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) driver: Driver,
    pub(crate) wake: Arc<Notify>,
    pub(crate) poll: Duration,
    pub(crate) concurrency_max: usize,
}

impl Recovery {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let slots = Arc::new(Semaphore::new(self.concurrency_max));
        let mut round = 0_u32;
        while !cancel.is_cancelled() {
            // Whatever fails here is tried again: with the database away there is nothing else to do.
            match self.take_over(&slots).await {
                Ok(taken) if taken > 0 => tracing::info!(sagas = taken, "sagas taken over"),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "sagas could not be taken over"),
            }
            if round.is_multiple_of(ROUNDS_PER_COUNT)
                && let Err(error) = self.count().await
            {
                tracing::debug!(%error, "sagas could not be counted");
            }
            round = round.wrapping_add(1);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.poll) => {}
            }
        }
        Ok(())
    }

    /// Takes as many as there are slots for, and drives each in a task of its own.
    async fn take_over(&self, slots: &Arc<Semaphore>) -> Result<usize, StoreError> {
        let mut permits = Vec::new();
        while let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            permits.push(permit);
        }
        let limit = i64::try_from(permits.len()).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(0);
        }
        let (now, lease) = (self.clock.now(), self.driver.lease());
        let taken: Vec<(Saga, Order)> = run_tx(&self.pool, "saga.take_over", |conn| {
            Box::pin(async move {
                let mut taken = Vec::new();
                for saga in sagas::take_over(conn, now, lease, limit).await? {
                    if let Some(order) = orders::read(conn, saga.order_id).await? {
                        taken.push((saga, order));
                    } else {
                        tracing::error!(saga.id = %saga.id, "a saga without an order");
                    }
                }
                Ok::<_, StoreError>(taken)
            })
        })
        .await?;
        let count = taken.len();
        for ((saga, order), permit) in taken.into_iter().zip(permits) {
            self.drive(saga, order, permit);
        }
        Ok(count)
    }

    fn drive(&self, saga: Saga, order: Order, permit: OwnedSemaphorePermit) {
        let driving = self.driver.start(saga, order);
        ferrocart_telemetry::spawn("saga-slot", async move {
            if let Err(error) = driving.await {
                tracing::error!(%error, "a saga's driver panicked");
            }
            drop(permit);
        });
    }

    async fn count(&self) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        let (unfinished, stuck) = sagas::count(&mut conn).await?;
        let gauge = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("sagas_unfinished").set(gauge(unfinished));
        metrics::gauge!("sagas_stuck").set(gauge(stuck));
        Ok(())
    }
}
