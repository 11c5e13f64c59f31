use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreError, idempotency, inbox};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(5);
/// Rows a statement, so that it holds locks only shortly.
const BATCH: i64 = 1_000;
/// Statements a round, so that a round ends.
const BATCHES_MAX: u32 = 100;

/// Forgets idempotency keys and applied events that are past their time.
pub(crate) struct Housekeeping {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) keys_keep_hours: u32,
    pub(crate) inbox_keep_hours: u32,
}

impl Housekeeping {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        while !cancel.is_cancelled() {
            match self.tidy_up().await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "old idempotency keys and inbox entries are gone"),
                Err(error) => tracing::warn!(%error, "housekeeping failed"),
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    async fn tidy_up(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let keys_until = now - TimeDelta::hours(i64::from(self.keys_keep_hours));
        let inbox_until = now - TimeDelta::hours(i64::from(self.inbox_keep_hours));
        let mut conn = self.pool.acquire().await?;
        let mut gone = 0;
        for _ in 0..BATCHES_MAX {
            let keys = idempotency::forget(&mut conn, keys_until, BATCH).await?;
            let events = inbox::forget(&mut conn, inbox_until, BATCH).await?;
            gone += keys + events;
            if keys + events == 0 {
                break;
            }
        }
        Ok(gone)
    }
}
