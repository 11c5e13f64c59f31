//! What was applied, against what was committed.

use anyhow::{Context as _, Result};
use sqlx::PgPool;

const LOST: &str = "
    SELECT count(*) FROM aggregates AS a CROSS JOIN LATERAL generate_series(1, a.sequence) AS wanted (sequence)
    WHERE NOT EXISTS (SELECT FROM applied AS p WHERE p.key = a.key AND p.sequence = wanted.sequence)";
const TWICE: &str = "SELECT count(*) - count(DISTINCT (key, sequence)) FROM applied";
const NEVER_COMMITTED: &str = "
    SELECT count(*) FROM applied AS p LEFT JOIN aggregates AS a USING (key)
    WHERE a.sequence IS NULL OR p.sequence > a.sequence";
/// Ids are given where the inbox has let an event in, so they are in the order in which a key's events were applied.
const OUT_OF_ORDER: &str = "
    SELECT count(*)
    FROM (SELECT sequence, lag(sequence, 1, 0) OVER (PARTITION BY key ORDER BY id) AS before FROM applied) AS steps
    WHERE sequence < before";

pub(super) async fn violations(pool: &PgPool) -> Result<Vec<String>> {
    sqlx::raw_sql("CREATE INDEX ON applied (key, sequence); ANALYZE applied")
        .execute(pool)
        .await
        .context("an index to judge by")?;
    let mut found = Vec::new();
    for (what, query) in [
        ("lost", LOST),
        ("applied twice", TWICE),
        ("applied and never committed", NEVER_COMMITTED),
        ("applied after a later one of its key", OUT_OF_ORDER),
    ] {
        let count: i64 = sqlx::query_scalar(query).fetch_one(pool).await.context(what)?;
        if count != 0 {
            found.push(format!("{count} events {what}"));
        }
    }
    Ok(found)
}

/// In words.
pub(super) async fn counts(pool: &PgPool) -> Result<String> {
    let (committed, applied, again): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT sum(sequence) FROM aggregates)::bigint, (SELECT count(*) FROM applied),
                (SELECT COALESCE(sum(events - fresh), 0) FROM handed_over)::bigint",
    )
    .fetch_one(pool)
    .await
    .context("count")?;
    Ok(format!(
        "{committed} committed, {applied} applied, {again} handed over again and passed over"
    ))
}
