use std::time::Duration;

use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::partitions;

const EVERY: Duration = Duration::from_hours(1);
/// After a failure, such as when a long read holds the table.
const RETRY: Duration = Duration::from_secs(10);

/// Makes the months' partitions ahead of their time. Every replica does; the first makes them.
pub(crate) struct Partitions {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) months_ahead: i32,
}

impl Partitions {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        while !cancel.is_cancelled() {
            let wait = match self.make().await {
                Ok(0) => EVERY,
                Ok(made) => {
                    tracing::info!(made, "months of orders were made ahead");
                    EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the months of orders could not be made ahead");
                    RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    async fn make(&self) -> Result<i32, StoreError> {
        let (now, ahead) = (self.clock.now(), self.months_ahead);
        let made = run_tx(&self.pool, "partitions.make", |conn| {
            Box::pin(async move { partitions::make(conn, now, ahead).await })
        })
        .await?;
        let mut conn = self.pool.acquire().await?;
        let stray = partitions::stray(&mut conn).await?;
        metrics::gauge!("orders_without_month").set(f64::from(stray));
        if stray > 0 {
            tracing::error!(orders = stray, "orders lie in no month: see orders_other");
        }
        Ok(made)
    }
}
