//! Forgets inbox rows that no redelivery can ask for any more, and imports that nobody goes on with.

use std::time::Duration;

use ferrocart_pg_kit::{StoreError, inbox};
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store;

const EVERY: Duration = Duration::from_mins(10);
/// Twice what order-events are kept for.
const KEEP: Duration = Duration::from_hours(14 * 24);
const ROWS_MAX: i64 = 5_000;
/// As the API promises.
const KEEP_IMPORTS: Duration = Duration::from_hours(30 * 24);
/// Each may have ten thousand errors.
const IMPORTS_MAX: i64 = 20;

pub(crate) async fn run(pool: PgPool, clock: SharedClock, cancel: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = prune(&pool, &clock).await {
            tracing::warn!(
                error = crate::error::cause_chain(&error),
                "what nobody needs any more was not forgotten"
            );
        }
    }
}

async fn prune(pool: &PgPool, clock: &SharedClock) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    inbox::forget(&mut conn, clock.now() - KEEP, ROWS_MAX).await?;
    store::imports::forget(&mut conn, clock.now() - KEEP_IMPORTS, IMPORTS_MAX).await?;
    Ok(())
}
