use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreError, idempotency};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// The answers of adjustments are kept longer than the 24 hours that clients are promised.
const KEEP_HOURS: i64 = 48;
const INTERVAL: Duration = Duration::from_mins(10);
/// Rows a statement, so that it never holds locks for long.
const BATCH: i64 = 1_000;

/// Forgets idempotency keys that nobody will send again.
pub(crate) struct Housekeeper {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
}

impl Housekeeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.forget_keys(&cancel).await {
                tracing::warn!(%error, "old idempotency keys could not be removed");
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn forget_keys(&self, cancel: &CancellationToken) -> Result<(), StoreError> {
        let until = self.clock.now() - TimeDelta::hours(KEEP_HOURS);
        let mut conn = self.pool.acquire().await?;
        while !cancel.is_cancelled() {
            if idempotency::forget(&mut conn, until, BATCH).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}
