use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::{links, sessions};

const PAUSE: Duration = Duration::from_mins(10);
const ROWS_MAX: i64 = 1_000;
/// Ended sessions stay for a week: who was logged in when is asked after the fact.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Removes sessions and links that ended long ago, in small portions.
pub(crate) async fn sweep(pool: PgPool, clock: SharedClock, cancel: CancellationToken) -> anyhow::Result<()> {
    loop {
        match portion(&pool, &clock).await {
            Ok(0) => {}
            Ok(rows) => {
                metrics::counter!("sessions_purged_total").increment(rows);
                continue;
            }
            Err(error) => tracing::warn!(%error, "old sessions were not removed; trying later"),
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn portion(pool: &PgPool, clock: &SharedClock) -> Result<u64, ferrocart_pg_kit::StoreError> {
    let mut conn = pool.acquire().await?;
    let cutoff = clock.now() - KEPT;
    links::purge(&mut conn, cutoff, ROWS_MAX).await?;
    sessions::purge(&mut conn, cutoff, ROWS_MAX).await
}
