//! Waiting for the end of everything, and looking at what is left.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ferrocart_audit::{Finding, Options, Silent, Target, audit};
use ferrocart_types::SystemClock;
use sqlx::PgPool;

use crate::platform::Platform;

/// I6: so long may it take from when the fault is over.
pub(crate) const FINAL_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// What changed within it is not compared by the auditor, which is then asked again.
const GRACE: Duration = Duration::from_secs(1);
/// Consumers of a process that was killed come back when its session has ended: 10 s and a rebalance.
const QUIET_WITHIN: Duration = Duration::from_mins(1);

/// How long until nothing was unfinished; what is, if that took too long.
pub(crate) async fn until_final(platform: &Platform, within: Duration) -> Result<Result<Duration, String>> {
    let began = Instant::now();
    loop {
        let left = unfinished(platform).await?;
        if left.is_empty() {
            return Ok(Ok(began.elapsed()));
        }
        if began.elapsed() > within {
            return Ok(Err(left.join(", ")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Sagas, payments' operations, and events that are not published.
async fn unfinished(platform: &Platform) -> Result<Vec<String>> {
    const SAGAS: &str = "SELECT kind || ' of ' || order_id || ' at ' || step || ', ' || state
                         FROM sagas WHERE state <> 'DONE' LIMIT 5";
    const OPERATIONS: &str = "SELECT kind || ' of payment ' || payment_id || ', ' || state
                              FROM payment_operations WHERE state IN ('STARTED', 'UNKNOWN') LIMIT 5";
    const EVENTS: &str =
        "SELECT COALESCE(event_type, 'events') || ' of ' || key || ' in the outbox' FROM outbox LIMIT 5";
    let mut left = lines(&platform.orders, SAGAS).await?;
    left.extend(lines(&platform.payments, OPERATIONS).await?);
    for pool in [&platform.orders, &platform.payments, &platform.inventory] {
        left.extend(lines(pool, EVENTS).await?);
    }
    Ok(left)
}

async fn lines(pool: &PgPool, query: &'static str) -> Result<Vec<String>> {
    sqlx::query_scalar(query).fetch_all(pool).await.context(query)
}

/// What the auditor finds when all is quiet.
pub(crate) async fn findings(platform: &Platform) -> Result<Vec<Finding>> {
    let target = Target::of_stack(platform.stack.folder())?;
    let options = Options {
        grace: GRACE,
        ..Options::default()
    };
    let began = Instant::now();
    loop {
        let report = audit(&target, &options, &SystemClock, &mut Silent).await?;
        // Something may always be too recent to be compared; what is not is judged all the same.
        if report.too_recent == 0 || began.elapsed() > QUIET_WITHIN {
            return Ok(report.findings);
        }
        tokio::time::sleep(POLL).await;
    }
}
