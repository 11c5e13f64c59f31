//! The months that orders are divided into.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::Timestamp;
use sqlx::PgConnection;

/// Stray orders are counted up to here: one is too many.
const STRAY_MAX: i32 = 1_000;

/// Makes what is missing of this month and those ahead. Answers how many months were made.
pub(crate) async fn make(
    conn: &mut PgConnection,
    now: Timestamp,
    months_ahead: i32,
) -> Result<i32, StoreError> {
    sqlx::query_scalar("SELECT make_order_partitions($1, $2)")
        .bind(now)
        .bind(months_ahead)
        .fetch_one(conn)
        .await
        .op("partitions.make")
}

/// How many orders have ids of times that no partition was made for.
pub(crate) async fn stray(conn: &mut PgConnection) -> Result<i32, StoreError> {
    sqlx::query_scalar("SELECT count(*)::int FROM (SELECT 1 FROM orders_other LIMIT $1) AS stray")
        .bind(STRAY_MAX)
        .fetch_one(conn)
        .await
        .op("partitions.stray")
}
