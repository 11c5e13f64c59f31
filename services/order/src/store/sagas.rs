use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, ReservationId, SagaId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{corrupt, expect_one};
use crate::domain::saga::Kind;
use crate::domain::{CancelReason, CartId, Shipment, Step};
use crate::views::SagaView;

/// What a driver needs to know besides the order; survives it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The trace of the request that began it: whoever goes on goes on in that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    /// The provider's token, forgotten at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payment_method: Option<String>,
    /// Whose answer is to be stored with the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency: Option<KeyRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reservation_id: Option<ReservationId>,
    /// The hold that the order is made from: it is extended instead of reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<ReservationId>,
    /// Until when the units are reserved, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_until: Option<Timestamp>,
    /// The order was placed without a payment method, to be paid later.
    #[serde(default)]
    pub(crate) pays_later: bool,
    /// The payment waits for its customer: ask for it instead of authorizing again.
    #[serde(default)]
    pub(crate) waiting: bool,
    /// Why inventory or payment refused, for the client's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<Refused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shipment: Option<Shipment>,
    /// Why support refunds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRef {
    pub(crate) caller: String,
    pub(crate) key: String,
}

/// What a neighbour said when it refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) errors: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decline_code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SagaState {
    Running,
    Compensating,
    Stuck,
    Done,
}

impl SagaState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Compensating => "COMPENSATING",
            Self::Stuck => "STUCK",
            Self::Done => "DONE",
        }
    }
}

/// A saga in the hands of a driver.
#[derive(Debug, Clone)]
pub(crate) struct Saga {
    pub(crate) id: SagaId,
    pub(crate) order_id: OrderId,
    pub(crate) kind: Kind,
    pub(crate) step: Step,
    pub(crate) reason: Option<CancelReason>,
    pub(crate) fence: i64,
    /// Tries of the current step whose outcome is unknown.
    pub(crate) attempts: i32,
    pub(crate) payload: Payload,
    pub(crate) created_at: Timestamp,
}

/// Who drives a saga, until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) owner: Uuid,
    pub(crate) until: Timestamp,
}

/// Inserts a saga that its creator drives. `false` when the order or the cart has an unfinished one.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    saga: &Saga,
    cart: Option<CartId>,
    lease: Lease,
) -> Result<bool, StoreError> {
    let state = if saga.step.is_undo() {
        SagaState::Compensating
    } else {
        SagaState::Running
    };
    let done = sqlx::query(
        "INSERT INTO sagas (saga_id, order_id, kind, step, state, cart_id, reason, lease_owner, lease_until, fence,
                            next_attempt_at, payload, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11, $11) ON CONFLICT DO NOTHING",
    )
    .bind(saga.id.as_uuid())
    .bind(saga.order_id.as_uuid())
    .bind(saga.kind.as_str())
    .bind(saga.step.as_str())
    .bind(state.as_str())
    .bind(cart.map(|cart| cart.to_string()))
    .bind(saga.reason.map(CancelReason::as_str))
    .bind(lease.owner)
    .bind(lease.until)
    .bind(saga.fence)
    .bind(saga.created_at)
    .bind(Json(&saga.payload))
    .execute(conn)
    .await
    .op("sagas.insert")?;
    Ok(done.rows_affected() == 1)
}

/// Takes sagas that nobody drives, and raises their fences.
pub(crate) async fn take_over(
    conn: &mut PgConnection,
    now: Timestamp,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Saga>, StoreError> {
    let rows = sqlx::query(
        "UPDATE sagas SET lease_owner = $2, lease_until = $3, fence = fence + 1, updated_at = $1
         WHERE saga_id IN (
             SELECT saga_id FROM sagas
             WHERE state <> 'DONE' AND next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
             ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
         RETURNING saga_id, order_id, kind, step, reason, fence, attempts, payload, payment_method, created_at",
    )
    .bind(now)
    .bind(lease.owner)
    .bind(lease.until)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("sagas.take_over")?;
    rows.iter().map(saga).collect()
}

/// Locks a driver's saga until the transaction ends. `None` when another driver has taken it over;
/// else who wants the order cancelled, if anyone does.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    saga: &Saga,
) -> Result<Option<Option<CancelReason>>, StoreError> {
    const OP: &str = "sagas.hold";
    let row = sqlx::query(
        "SELECT cancel_requested FROM sagas WHERE saga_id = $1 AND fence = $2 AND state <> 'DONE' FOR UPDATE",
    )
    .bind(saga.id.as_uuid())
    .bind(saga.fence)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    match row.try_get::<Option<&str>, _>("cancel_requested").op(OP)? {
        None => Ok(Some(None)),
        Some(text) => {
            let unknown = || corrupt("sagas", "cancel_requested", saga.id, format!("`{text}`"));
            CancelReason::parse(text)
                .ok_or_else(unknown)
                .map(|reason| Some(Some(reason)))
        }
    }
}

/// What the driver leaves behind after a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress<'a> {
    pub(crate) state: SagaState,
    /// `None` gives the saga up, for the worker to go on at `next_attempt_at`.
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) next_attempt_at: Timestamp,
    pub(crate) last_error: Option<&'a str>,
}

/// Writes where the saga stands. A payment method that came while the driver was at work is gone on with at
/// once. Fenced: a driver that has lost it changes nothing and is told.
pub(crate) async fn update(
    conn: &mut PgConnection,
    saga: &Saga,
    progress: Progress<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    const OP: &str = "sagas.update";
    let done = sqlx::query(
        "UPDATE sagas SET step = $3, state = $4, reason = $5, lease_until = $6, attempts = $7, last_error = $9, payload = $10, updated_at = $11,
                          payment_method = CASE WHEN $4 = 'DONE' THEN NULL ELSE payment_method END,
                          next_attempt_at = CASE WHEN payment_method IS NOT NULL AND NOT ($10 ? 'payment_method')
                                                 THEN $11 ELSE $8 END
         WHERE saga_id = $1 AND fence = $2",
    )
    .bind(saga.id.as_uuid())
    .bind(saga.fence)
    .bind(saga.step.as_str())
    .bind(progress.state.as_str())
    .bind(saga.reason.map(CancelReason::as_str))
    .bind(progress.lease_until)
    .bind(saga.attempts)
    .bind(progress.next_attempt_at)
    .bind(progress.last_error)
    .bind(Json(&saga.payload))
    .bind(now)
    .execute(conn)
    .await
    .op(OP)?;
    expect_one(OP, done.rows_affected())
}

/// Gives a saga up at once, such as when the service stops: another replica goes on without waiting.
pub(crate) async fn give_up(conn: &mut PgConnection, saga: &Saga, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sagas SET lease_until = NULL, next_attempt_at = $3 WHERE saga_id = $1 AND fence = $2 AND state <> 'DONE'",
    )
    .bind(saga.id.as_uuid())
    .bind(saga.fence)
    .bind(now)
    .execute(conn)
    .await
    .op("sagas.give_up")?;
    Ok(())
}

/// One line of a saga's log.
#[derive(Debug, Clone)]
pub(crate) struct LogLine {
    pub(crate) step: Step,
    /// STARTED, SUCCEEDED, FAILED, UNKNOWN or WAITING
    pub(crate) event: &'static str,
    pub(crate) attempt: i32,
    pub(crate) detail: Option<String>,
}

pub(crate) async fn log(
    conn: &mut PgConnection,
    saga: SagaId,
    lines: &[LogLine],
    now: Timestamp,
) -> Result<(), StoreError> {
    let steps: Vec<&str> = lines.iter().map(|line| line.step.as_str()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line.event).collect();
    let attempts: Vec<i32> = lines.iter().map(|line| line.attempt).collect();
    let details: Vec<Option<&str>> = lines.iter().map(|line| line.detail.as_deref()).collect();
    sqlx::query(
        "INSERT INTO saga_log (saga_id, step, event, attempt, at, detail)
         SELECT $1, step, event, attempt, $2, detail
         FROM UNNEST($3::text[], $4::text[], $5::int[], $6::text[]) AS line (step, event, attempt, detail)",
    )
    .bind(saga.as_uuid())
    .bind(now)
    .bind(steps)
    .bind(events)
    .bind(attempts)
    .bind(details)
    .execute(conn)
    .await
    .op("saga_log.append")?;
    Ok(())
}

/// The unfinished saga of an order, locked until the transaction ends: to be taken before the order.
pub(crate) async fn lock_unfinished(
    conn: &mut PgConnection,
    order: OrderId,
) -> Result<Option<(SagaId, Kind)>, StoreError> {
    const OP: &str = "sagas.lock_unfinished";
    let row =
        sqlx::query("SELECT saga_id, kind FROM sagas WHERE order_id = $1 AND state <> 'DONE' FOR UPDATE")
            .bind(order.as_uuid())
            .fetch_optional(conn)
            .await
            .op(OP)?;
    row.map(|row| {
        let id: Uuid = row.try_get("saga_id").op(OP)?;
        Ok((SagaId(id), parse_kind(id, row.try_get("kind").op(OP)?)?))
    })
    .transpose()
}

/// Whether anything is under way for an order.
pub(crate) async fn is_unfinished(conn: &mut PgConnection, order: OrderId) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sagas WHERE order_id = $1 AND state <> 'DONE')")
        .bind(order.as_uuid())
        .fetch_one(conn)
        .await
        .op("sagas.is_unfinished")
}

/// Asks a checkout to undo itself; the first reason stays.
pub(crate) async fn request_cancel(
    conn: &mut PgConnection,
    saga: SagaId,
    reason: CancelReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    const OP: &str = "sagas.request_cancel";
    let done = sqlx::query(
        "UPDATE sagas SET cancel_requested = COALESCE(cancel_requested, $2), next_attempt_at = LEAST(next_attempt_at, $3)
         WHERE saga_id = $1 AND state <> 'DONE'",
    )
    .bind(saga.as_uuid())
    .bind(reason.as_str())
    .bind(now)
    .execute(conn)
    .await
    .op(OP)?;
    expect_one(OP, done.rows_affected())
}

/// Wakes a checkout that waits for its payment.
pub(crate) async fn wake_waiting(
    conn: &mut PgConnection,
    order: OrderId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sagas SET next_attempt_at = LEAST(next_attempt_at, $2)
         WHERE order_id = $1 AND state <> 'DONE' AND lease_until IS NULL AND step = 'AUTHORIZE'",
    )
    .bind(order.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("sagas.wake_waiting")?;
    Ok(())
}

/// Says what an order is paid with that waits for that. `false` when it was said before, or is too late.
pub(crate) async fn pay_with(
    conn: &mut PgConnection,
    saga: SagaId,
    method: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE sagas SET payment_method = $2, next_attempt_at = LEAST(next_attempt_at, $3)
         WHERE saga_id = $1 AND state = 'RUNNING' AND cancel_requested IS NULL
           AND (payload ->> 'pays_later')::boolean AND (payment_method IS NULL OR payment_method = $2)",
    )
    .bind(saga.as_uuid())
    .bind(method)
    .bind(now)
    .execute(conn)
    .await
    .op("sagas.pay_with")?;
    Ok(done.rows_affected() == 1)
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

/// Unfinished sagas, the oldest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    only_stuck: bool,
    after: Option<SagaId>,
    limit: i64,
) -> Result<Vec<SagaView>, StoreError> {
    const OP: &str = "sagas.list";
    let rows = sqlx::query(
        "SELECT saga_id, order_id, kind, step, state, reason, attempts, next_attempt_at, last_error, created_at, updated_at
         FROM sagas WHERE state <> 'DONE' AND (NOT $1 OR state = 'STUCK') AND ($2::uuid IS NULL OR saga_id > $2)
         ORDER BY saga_id LIMIT $3",
    )
    .bind(only_stuck)
    .bind(after.map(|id| id.as_uuid()))
    .bind(limit)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| {
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
        })
        .collect()
}

fn saga(row: &PgRow) -> Result<Saga, StoreError> {
    const OP: &str = "sagas.read";
    let id: Uuid = row.try_get("saga_id").op(OP)?;
    let Json(mut payload): Json<Payload> = row.try_get("payload").op(OP)?;
    if let Some(method) = row.try_get("payment_method").op(OP)? {
        payload.payment_method = Some(method);
    }
    Ok(Saga {
        id: SagaId(id),
        order_id: OrderId(row.try_get("order_id").op(OP)?),
        kind: parse_kind(id, row.try_get("kind").op(OP)?)?,
        step: parse_step(id, row.try_get("step").op(OP)?)?,
        reason: parse_reason(id, row.try_get("reason").op(OP)?)?,
        fence: row.try_get("fence").op(OP)?,
        attempts: row.try_get("attempts").op(OP)?,
        payload,
        created_at: row.try_get("created_at").op(OP)?,
    })
}

fn parse_kind(id: Uuid, text: &str) -> Result<Kind, StoreError> {
    Kind::parse(text).ok_or_else(|| corrupt("sagas", "kind", id, format!("`{text}`")))
}

fn parse_step(id: Uuid, text: &str) -> Result<Step, StoreError> {
    Step::parse(text).ok_or_else(|| corrupt("sagas", "step", id, format!("`{text}`")))
}

fn parse_reason(id: Uuid, text: Option<&str>) -> Result<Option<CancelReason>, StoreError> {
    text.map(|text| {
        CancelReason::parse(text).ok_or_else(|| corrupt("sagas", "reason", id, format!("`{text}`")))
    })
    .transpose()
}
