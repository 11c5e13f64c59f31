use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{PaymentId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{OpenOperation, OperationKind, OperationState};

/// An operation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub id: Uuid,
    pub payment_id: PaymentId,
    pub kind: OperationKind,
    pub state: OperationState,
    pub amount_minor: Option<i64>,
    pub note: Option<String>,
}

/// Records an operation, leased to this process, before it is tried. One with the same id that never
/// left this process is begun anew.
pub async fn start(
    conn: &mut PgConnection,
    operation: &OpenOperation,
    leased_until: Timestamp,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "INSERT INTO payment_operations AS o (operation_id, payment_id, kind, provider_key, amount_minor, state,
           attempt, leased_until, next_try_at, created_at)
         VALUES ($1, $2, $3, $4, $5, 'STARTED', $6, $7, $7, $8)
         ON CONFLICT (operation_id) DO UPDATE SET state = 'STARTED', attempt = excluded.attempt, note = NULL,
           leased_until = excluded.leased_until, next_try_at = excluded.next_try_at,
           created_at = excluded.created_at, finished_at = NULL
         WHERE o.state = 'ABANDONED'",
    )
    .bind(operation.id)
    .bind(operation.payment_id.as_uuid())
    .bind(operation.kind.as_str())
    .bind(&operation.provider_key)
    .bind(operation.amount_minor)
    .bind(operation.attempt)
    .bind(leased_until)
    .bind(operation.created_at)
    .execute(conn)
    .await
    .op("operations.start")?;
    expect_rows("operations.start", 1, &done)
}

pub async fn find(conn: &mut PgConnection, id: Uuid) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query(
        "SELECT operation_id, payment_id, kind, state, amount_minor, note FROM payment_operations WHERE operation_id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
    .op("operations.find")?;
    row.map(|row| stored(&row)).transpose()
}

/// The payment's operation that is under way.
pub async fn open_of(conn: &mut PgConnection, payment: PaymentId) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query(
        "SELECT operation_id, payment_id, kind, state, amount_minor, note FROM payment_operations
         WHERE payment_id = $1 AND state IN ('STARTED', 'UNKNOWN')",
    )
    .bind(payment.as_uuid())
    .fetch_optional(conn)
    .await
    .op("operations.open_of")?;
    row.map(|row| stored(&row)).transpose()
}

/// Takes over an open operation that nobody drives; `None` when somebody does, or it is over.
pub async fn take_over(
    conn: &mut PgConnection,
    id: Uuid,
    now: Timestamp,
    leased_until: Timestamp,
) -> Result<Option<OpenOperation>, StoreError> {
    let row = sqlx::query(
        "UPDATE payment_operations SET attempt = attempt + 1, leased_until = $3
         WHERE operation_id = $1 AND state IN ('STARTED', 'UNKNOWN') AND leased_until <= $2
         RETURNING operation_id, payment_id, kind, provider_key, amount_minor, attempt, created_at",
    )
    .bind(id)
    .bind(now)
    .bind(leased_until)
    .fetch_optional(conn)
    .await
    .op("operations.take_over")?;
    row.map(|row| open(&row)).transpose()
}

/// Takes over what is due and driven by nobody, the oldest first.
pub async fn take_over_due(
    conn: &mut PgConnection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: i64,
) -> Result<Vec<OpenOperation>, StoreError> {
    let rows = sqlx::query(
        "UPDATE payment_operations SET attempt = attempt + 1, leased_until = $2
         WHERE operation_id IN (
           SELECT operation_id FROM payment_operations
           WHERE state IN ('STARTED', 'UNKNOWN') AND leased_until <= $1 AND next_try_at <= $1
           ORDER BY next_try_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING operation_id, payment_id, kind, provider_key, amount_minor, attempt, created_at",
    )
    .bind(now)
    .bind(leased_until)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("operations.take_over_due")?;
    rows.iter().map(open).collect()
}

/// Ends the operation, if this driver is still the newest one and nobody ended it.
pub async fn finish(
    conn: &mut PgConnection,
    operation: &OpenOperation,
    state: OperationState,
    note: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE payment_operations SET state = $3, note = $4, finished_at = $5
         WHERE operation_id = $1 AND attempt = $2 AND state IN ('STARTED', 'UNKNOWN')",
    )
    .bind(operation.id)
    .bind(operation.attempt)
    .bind(state.as_str())
    .bind(note)
    .bind(now)
    .execute(conn)
    .await
    .op("operations.finish")?;
    Ok(done.rows_affected() == 1)
}

/// Ends the payment's open operation of that kind, whoever drives it: its goal is reached.
pub async fn finish_reached(
    conn: &mut PgConnection,
    payment: PaymentId,
    kind: OperationKind,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE payment_operations SET state = 'SUCCEEDED', finished_at = $3
         WHERE payment_id = $1 AND kind = $2 AND state IN ('STARTED', 'UNKNOWN')",
    )
    .bind(payment.as_uuid())
    .bind(kind.as_str())
    .bind(now)
    .execute(conn)
    .await
    .op("operations.finish_reached")?;
    Ok(done.rows_affected() == 1)
}

/// The outcome is not known: others may take over at once, the recovery worker from `next_try_at` on.
pub async fn leave_unknown(
    conn: &mut PgConnection,
    operation: &OpenOperation,
    note: &str,
    now: Timestamp,
    next_try_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE payment_operations SET state = 'UNKNOWN', note = $3, leased_until = $4, next_try_at = $5
         WHERE operation_id = $1 AND attempt = $2 AND state IN ('STARTED', 'UNKNOWN')",
    )
    .bind(operation.id)
    .bind(operation.attempt)
    .bind(note)
    .bind(now)
    .bind(next_try_at)
    .execute(conn)
    .await
    .op("operations.leave_unknown")?;
    Ok(())
}

/// How many operations are open, and since when the oldest is.
pub async fn open_count(conn: &mut PgConnection) -> Result<(i64, Option<Timestamp>), StoreError> {
    const OP: &str = "operations.open_count";
    let row = sqlx::query(
        "SELECT count(*), min(created_at) FROM payment_operations WHERE state IN ('STARTED', 'UNKNOWN')",
    )
    .fetch_one(conn)
    .await
    .op(OP)?;
    Ok((row.try_get(0).op(OP)?, row.try_get(1).op(OP)?))
}

fn corrupt(column: &'static str, id: Uuid, reason: &impl ToString) -> StoreError {
    StoreError::Corrupt {
        table: "payment_operations",
        column,
        row: id.to_string(),
        reason: reason.to_string(),
    }
}

fn kind(row: &PgRow, id: Uuid) -> Result<OperationKind, StoreError> {
    let kind: String = row.try_get("kind").op("operations.row")?;
    kind.parse().map_err(|error| corrupt("kind", id, &error))
}

fn stored(row: &PgRow) -> Result<Stored, StoreError> {
    const OP: &str = "operations.row";
    let id: Uuid = row.try_get("operation_id").op(OP)?;
    let state: String = row.try_get("state").op(OP)?;
    Ok(Stored {
        id,
        payment_id: PaymentId(row.try_get("payment_id").op(OP)?),
        kind: kind(row, id)?,
        state: state.parse().map_err(|error| corrupt("state", id, &error))?,
        amount_minor: row.try_get("amount_minor").op(OP)?,
        note: row.try_get("note").op(OP)?,
    })
}

fn open(row: &PgRow) -> Result<OpenOperation, StoreError> {
    const OP: &str = "operations.row";
    let id: Uuid = row.try_get("operation_id").op(OP)?;
    Ok(OpenOperation {
        id,
        payment_id: PaymentId(row.try_get("payment_id").op(OP)?),
        kind: kind(row, id)?,
        provider_key: row.try_get("provider_key").op(OP)?,
        amount_minor: row.try_get("amount_minor").op(OP)?,
        attempt: row.try_get("attempt").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
    })
}
