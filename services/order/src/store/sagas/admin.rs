//! Sagas as support sees and steers them.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, SagaId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{SagaState, parse_kind, parse_reason, parse_step};
use crate::store::expect_one;
use crate::views::SagaView;

macro_rules! select_views {
    ($rest:literal) => {
        concat!(
            "SELECT saga_id, order_id, kind, step, state, reason, attempts, next_attempt_at, last_error, created_at,
                    updated_at FROM sagas ",
            $rest
        )
    };
}

/// How many sagas are unfinished, and how many of them are stuck.
pub(crate) async fn count(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    const OP: &str = "sagas.count";
    let row = sqlx::query(
        "SELECT count(*), count(*) FILTER (WHERE state = 'STUCK') FROM sagas WHERE state <> 'DONE'",
    )
    .fetch_one(conn)
    .await
    .op(OP)?;
    Ok((row.try_get(0).op(OP)?, row.try_get(1).op(OP)?))
}

/// Unfinished sagas in one of the given states, the oldest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    states: &[SagaState],
    after: Option<SagaId>,
    limit: i64,
) -> Result<Vec<SagaView>, StoreError> {
    let rows = sqlx::query(select_views!(
        "WHERE state <> 'DONE' AND state = ANY($1) AND ($2::uuid IS NULL OR saga_id > $2) ORDER BY saga_id LIMIT $3"
    ))
    .bind(states.iter().map(|state| state.as_str()).collect::<Vec<_>>())
    .bind(after.map(|id| id.as_uuid()))
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("sagas.list")?;
    rows.iter().map(view).collect()
}

/// One saga, locked until the transaction ends.
pub(crate) async fn lock(conn: &mut PgConnection, id: SagaId) -> Result<Option<SagaView>, StoreError> {
    let row = sqlx::query(select_views!("WHERE saga_id = $1 FOR UPDATE"))
        .bind(id.as_uuid())
        .fetch_optional(conn)
        .await
        .op("sagas.lock")?;
    row.as_ref().map(view).transpose()
}

/// Has a saga tried at once that waits for its next try. One that a driver is at is left to it.
pub(crate) async fn retry_now(conn: &mut PgConnection, id: SagaId, now: Timestamp) -> Result<(), StoreError> {
    const OP: &str = "sagas.retry_now";
    let done = sqlx::query(
        "UPDATE sagas SET next_attempt_at = LEAST(next_attempt_at, $2) WHERE saga_id = $1 AND state <> 'DONE'",
    )
    .bind(id.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op(OP)?;
    expect_one(OP, done.rows_affected())
}

fn view(row: &PgRow) -> Result<SagaView, StoreError> {
    const OP: &str = "sagas.view";
    let id: Uuid = row.try_get("saga_id").op(OP)?;
    Ok(SagaView {
        saga_id: SagaId(id),
        order_id: OrderId(row.try_get("order_id").op(OP)?),
        kind: parse_kind(id, row.try_get("kind").op(OP)?)?,
        step: parse_step(id, row.try_get("step").op(OP)?)?,
        state: row.try_get("state").op(OP)?,
        reason: parse_reason(id, row.try_get("reason").op(OP)?)?,
        attempts: row.try_get("attempts").op(OP)?,
        next_attempt_at: row.try_get("next_attempt_at").op(OP)?,
        last_error: row.try_get("last_error").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    })
}
