mod admin;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, ReservationId, SagaId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{PgQuery, corrupt, expect_one};
use crate::domain::saga::Kind;
use crate::domain::{CancelReason, CartId, RefundTerms, Shipment, Step};

pub(crate) use admin::{count, list, lock, retry_now};

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
    /// What goes back; a refund that began before parts could go back has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refund: Option<RefundTerms>,
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
    pub(crate) const UNFINISHED: [Self; 3] = [Self::Running, Self::Compensating, Self::Stuck];

    /// What a saga that gets on is at a step.
    pub(crate) const fn at(step: Step) -> Self {
        if step.is_undo() {
            Self::Compensating
        } else {
            Self::Running
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
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
    /// How often it was woken until its current step began.
    pub(crate) wakes: i64,
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

/// A saga that its creator drives, and the cart that nothing else may be made of while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSaga<'a> {
    pub(crate) saga: &'a Saga,
    pub(crate) cart: Option<CartId>,
    pub(crate) lease: Lease,
}

/// Inserts sagas. Answers how many were inserted: an order or a cart that has an unfinished one gets none.
pub(crate) async fn insert(conn: &mut PgConnection, new: &[NewSaga<'_>]) -> Result<u64, StoreError> {
    let mut sorted = new.to_vec();
    // In one order everywhere: two batches that share carts then never wait for each other.
    sorted.sort_by_key(|new| (new.cart.map(|cart| cart.to_string()), new.saga.order_id.as_uuid()));
    let sagas = || sorted.iter().map(|new| new.saga);
    let done = sqlx::query(
        "INSERT INTO sagas (saga_id, order_id, kind, step, state, cart_id, reason, lease_owner, lease_until, fence,
                            payload, created_at, next_attempt_at, updated_at)
         SELECT *, created_at, created_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[],
                     $9::timestamptz[], $10::bigint[], $11::jsonb[], $12::timestamptz[])
              AS new (saga_id, order_id, kind, step, state, cart_id, reason, lease_owner, lease_until, fence, payload,
                      created_at)
         ON CONFLICT DO NOTHING",
    )
    .bind(sagas().map(|saga| saga.id.as_uuid()).collect::<Vec<_>>())
    .bind(sagas().map(|saga| saga.order_id.as_uuid()).collect::<Vec<_>>())
    .bind(sagas().map(|saga| saga.kind.as_str()).collect::<Vec<_>>())
    .bind(sagas().map(|saga| saga.step.as_str()).collect::<Vec<_>>())
    .bind(sagas().map(|saga| SagaState::at(saga.step).as_str()).collect::<Vec<_>>())
    .bind(
        sorted
            .iter()
            .map(|new| new.cart.map(|cart| cart.to_string()))
            .collect::<Vec<_>>(),
    )
    .bind(sagas().map(|saga| saga.reason.map(CancelReason::as_str)).collect::<Vec<_>>())
    .bind(sorted.iter().map(|new| new.lease.owner).collect::<Vec<_>>())
    .bind(sorted.iter().map(|new| new.lease.until).collect::<Vec<_>>())
    .bind(sagas().map(|saga| saga.fence).collect::<Vec<_>>())
    .bind(sagas().map(|saga| Json(&saga.payload)).collect::<Vec<_>>())
    .bind(sagas().map(|saga| saga.created_at).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op("sagas.insert")?;
    Ok(done.rows_affected())
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
         RETURNING saga_id, order_id, kind, step, reason, fence, wakes, attempts, payload, payment_method, created_at",
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

/// What others have left at a saga for its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Why somebody wants the order cancelled.
    pub(crate) cancel: Option<CancelReason>,
    /// How often it was woken.
    pub(crate) wakes: i64,
}

/// Locks a driver's saga until the transaction ends. Answers what was left at it; `None` when it is another
/// driver's by now.
pub(crate) async fn hold(conn: &mut PgConnection, saga: &Saga) -> Result<Option<Held>, StoreError> {
    const OP: &str = "sagas.hold";
    let row = sqlx::query(
        "SELECT cancel_requested, wakes FROM sagas
         WHERE saga_id = $1 AND fence = $2 AND state <> 'DONE' FOR UPDATE",
    )
    .bind(saga.id.as_uuid())
    .bind(saga.fence)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    row.map(|row| {
        let cancel = parse_reason(saga.id.as_uuid(), row.try_get("cancel_requested").op(OP)?)?;
        let wakes = row.try_get("wakes").op(OP)?;
        Ok(Held { cancel, wakes })
    })
    .transpose()
}

/// What the driver leaves behind after a step.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) state: SagaState,
    /// `None` gives the saga up, for the worker to go on at `next_attempt_at`.
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) next_attempt_at: Timestamp,
    pub(crate) last_error: Option<String>,
    pub(crate) at: Timestamp,
}

/// Where a saga stands. A payment method that came while the driver was at work is gone on with at once.
macro_rules! set_saga {
    () => {
        "step = change.step, state = change.state, reason = change.reason,
         lease_until = change.lease_until, attempts = change.attempts,
         last_error = change.last_error, payload = change.payload, updated_at = change.at,
         payment_method = CASE WHEN change.state = 'DONE' THEN NULL ELSE sagas.payment_method END,
         next_attempt_at = CASE WHEN sagas.payment_method IS NOT NULL AND NOT (change.payload ? 'payment_method')
                                THEN change.at ELSE change.next_attempt_at END"
    };
}
pub(in crate::store) use set_saga;

/// Writes where a saga stands. Fenced: where its driver has lost it nothing is changed.
pub(crate) async fn update(
    conn: &mut PgConnection,
    saga: &Saga,
    progress: &Progress,
) -> Result<(), StoreError> {
    const OP: &str = "sagas.update";
    const UPDATE: &str = concat!(
        "UPDATE sagas SET ",
        set_saga!(),
        " FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::int[],
                     $8::timestamptz[], $9::text[], $10::jsonb[], $11::timestamptz[])
              AS change (saga_id, fence, step, state, reason, lease_until, attempts, next_attempt_at, last_error,
                         payload, at)
         WHERE sagas.saga_id = change.saga_id AND sagas.fence = change.fence"
    );
    let done = bind_progress(sqlx::query(UPDATE), &[(saga, progress)])
        .execute(conn)
        .await
        .op(OP)?;
    expect_one(OP, done.rows_affected())
}

/// Binds where sagas are to stand, in the order of [`update`]'s parameters.
pub(in crate::store) fn bind_progress<'q>(query: PgQuery<'q>, changes: &[(&Saga, &Progress)]) -> PgQuery<'q> {
    let sagas = || changes.iter().map(|(saga, _)| *saga);
    let progress = || changes.iter().map(|(_, progress)| *progress);
    query
        .bind(sagas().map(|saga| saga.id.as_uuid()).collect::<Vec<_>>())
        .bind(sagas().map(|saga| saga.fence).collect::<Vec<_>>())
        .bind(sagas().map(|saga| saga.step.as_str()).collect::<Vec<_>>())
        .bind(
            progress()
                .map(|progress| progress.state.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            sagas()
                .map(|saga| saga.reason.map(CancelReason::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            progress()
                .map(|progress| progress.lease_until)
                .collect::<Vec<_>>(),
        )
        .bind(sagas().map(|saga| saga.attempts).collect::<Vec<_>>())
        .bind(
            progress()
                .map(|progress| progress.next_attempt_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            progress()
                .map(|progress| progress.last_error.clone())
                .collect::<Vec<_>>(),
        )
        .bind(sagas().map(|saga| Json(saga.payload.clone())).collect::<Vec<_>>())
        .bind(progress().map(|progress| progress.at).collect::<Vec<_>>())
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
    pub(crate) saga: SagaId,
    pub(crate) step: Step,
    /// STARTED, SUCCEEDED, FAILED, UNKNOWN or WAITING
    pub(crate) event: &'static str,
    pub(crate) attempt: i32,
    pub(crate) at: Timestamp,
    pub(crate) detail: Option<String>,
}

impl LogLine {
    /// That a saga's first step is about to be tried.
    pub(crate) fn first(saga: &Saga) -> Self {
        Self {
            saga: saga.id,
            step: saga.step,
            event: "STARTED",
            attempt: 1,
            at: saga.created_at,
            detail: None,
        }
    }
}

/// Appends lines in the given order.
pub(crate) async fn log(conn: &mut PgConnection, lines: &[LogLine]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO saga_log (saga_id, step, event, attempt, at, detail)
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::int[], $5::timestamptz[], $6::text[])",
    )
    .bind(lines.iter().map(|line| line.saga.as_uuid()).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.step.as_str()).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.event).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.attempt).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.at).collect::<Vec<_>>())
    .bind(
        lines
            .iter()
            .map(|line| line.detail.as_deref())
            .collect::<Vec<_>>(),
    )
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

/// Whether the refund that is under way gives all back.
pub(crate) async fn refunds_all(conn: &mut PgConnection, saga: SagaId) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT COALESCE((payload #>> '{refund,whole}')::boolean, true) FROM sagas WHERE saga_id = $1",
    )
    .bind(saga.as_uuid())
    .fetch_one(conn)
    .await
    .op("sagas.refunds_all")
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

/// Wakes checkouts that wait for their payments. One that a driver is at is looked at again by that driver.
pub(crate) async fn wake_waiting(
    conn: &mut PgConnection,
    orders: impl Iterator<Item = OrderId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        // Locked in the order in which drivers lock theirs.
        "UPDATE sagas SET wakes = wakes + 1, next_attempt_at = LEAST(next_attempt_at, $2)
         WHERE saga_id IN (
             SELECT saga_id FROM sagas WHERE order_id = ANY($1) AND state <> 'DONE' AND step = 'AUTHORIZE'
             ORDER BY saga_id FOR UPDATE)",
    )
    .bind(orders.map(|id| id.as_uuid()).collect::<Vec<_>>())
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
        wakes: row.try_get("wakes").op(OP)?,
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
