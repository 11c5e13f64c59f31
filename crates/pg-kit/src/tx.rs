use std::error::Error;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rand::Rng;
use sqlx::{PgConnection, PgPool};

use crate::error::is_retryable;

const TRIES_MAX: u32 = 5;

/// Runs `body` in a transaction, commits when it answers `Ok`, rolls back when it answers `Err`, and
/// runs it again, at most five times, after a deadlock or a serialization failure. `name` stands in
/// metrics and logs.
///
/// The future must be driven to its end: call it from a spawned task where a caller may hang up.
pub async fn run_tx<T, E, F>(pool: &PgPool, name: &'static str, mut body: F) -> Result<T, E>
where
    E: Error + From<sqlx::Error> + 'static,
    F: for<'c> FnMut(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
{
    let started = Instant::now();
    let mut tries = 1;
    let outcome = loop {
        match attempt(pool, &mut body).await {
            Err(error) if tries < TRIES_MAX && is_retryable(&error) => {
                metrics::counter!("pg_tx_retries_total", "tx" => name).increment(1);
                tracing::debug!(tx = name, tries, %error, "transaction is run again");
                tokio::time::sleep(backoff(tries)).await;
                tries += 1;
            }
            outcome => break outcome,
        }
    };
    let result = if outcome.is_ok() {
        "committed"
    } else {
        "rolled_back"
    };
    metrics::counter!("pg_tx_total", "tx" => name, "result" => result).increment(1);
    metrics::histogram!("pg_tx_duration_seconds", "tx" => name).record(started.elapsed());
    outcome
}

async fn attempt<T, E, F>(pool: &PgPool, body: &mut F) -> Result<T, E>
where
    E: From<sqlx::Error>,
    F: for<'c> FnMut(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
{
    let mut tx = pool.begin().await?;
    let value = body(&mut tx).await?;
    tx.commit().await?;
    Ok(value)
}

fn backoff(tries: u32) -> Duration {
    let ceiling_ms = 5_u64 << tries.min(6);
    Duration::from_millis(rand::rng().random_range(1..=ceiling_ms))
}
