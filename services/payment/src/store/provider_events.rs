use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{PaymentId, Timestamp};
use sqlx::PgConnection;

/// Whether the event was taken before.
pub async fn is_known(conn: &mut PgConnection, event: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM provider_events WHERE event_id = $1)")
        .bind(event)
        .fetch_one(conn)
        .await
        .op("provider_events.is_known")
}

/// Records the event with its effect. `false` when it was taken before.
pub async fn record(
    conn: &mut PgConnection,
    event: &str,
    kind: &str,
    payment: PaymentId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO provider_events (event_id, kind, payment_id, received_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(event)
    .bind(kind)
    .bind(payment.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("provider_events.record")?;
    Ok(done.rows_affected() == 1)
}

/// Forgets events older than `until`, at most `limit` a call; the provider repeats them for days only.
pub async fn forget(conn: &mut PgConnection, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM provider_events WHERE event_id IN
           (SELECT event_id FROM provider_events WHERE received_at < $1 LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(conn)
    .await
    .op("provider_events.forget")?;
    Ok(done.rows_affected())
}
