//! What drivers leave behind after their steps, in one statement for many.

use std::collections::HashSet;

use ferrocart_pg_kit::idempotency::{RequestKey, StoredResponse};
use ferrocart_pg_kit::outbox::OutboxEvent;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::SagaId;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::PgQuery;
use super::orders::{Change, bind_changes, set_order};
use super::sagas::{LogLine, Progress, Saga, bind_progress, set_saga};
use crate::domain::Order;

/// A step's record, made from what its driver knows of the saga and the order.
#[derive(Debug)]
pub(crate) struct StepWrite<'a> {
    /// As it is to stand; its fence and its wakes are those that the driver knows.
    pub(crate) saga: &'a Saga,
    pub(crate) progress: &'a Progress,
    /// The order is written if it is another one after.
    pub(crate) order: Change<'a>,
    pub(crate) lines: &'a [LogLine],
    pub(crate) event: Option<&'a OutboxEvent>,
    /// What the key's request is answered from now on.
    pub(crate) answer: Option<&'a (RequestKey, StoredResponse)>,
}

/// Which steps were written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) sagas: HashSet<SagaId>,
    /// How many of their answers found their keys.
    pub(crate) answers: u64,
}

/// All of a step, or nothing of it where its saga or its order no longer stands as its driver knows it: that is
/// for rows that are read to decide. Every saga may be here once.
///
/// Sagas are locked first, then orders, each in the order of their ids, as everywhere. An order's outbox row
/// is inserted once the order's lock is had.
const WRITE: &str = concat!(
    "
WITH step AS (
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::int[],
                         $8::timestamptz[], $9::text[], $10::jsonb[], $11::timestamptz[], $12::uuid[], $13::bigint[])
        AS step (saga_id, fence, step, state, reason, lease_until, attempts, next_attempt_at, last_error, payload, at,
                 order_id, wakes)
), held AS MATERIALIZED (
    SELECT step.* FROM step JOIN sagas ON sagas.saga_id = step.saga_id AND sagas.fence = step.fence
    WHERE sagas.state <> 'DONE' AND sagas.wakes = step.wakes AND sagas.cancel_requested IS NULL
    ORDER BY sagas.saga_id FOR UPDATE OF sagas
), change AS (
    SELECT * FROM UNNEST($14::uuid[], $15::text[], $16::bigint[], $17::text[], $18::bigint[], $19::timestamptz[],
                         $20::uuid[], $21::text[], $22::text[], $23::text[], $24::uuid[], $25::text[], $26::smallint[],
                         $27::bigint[], $28::bigint[])
        AS change (order_id, was_status, was_sequence, status, sequence, updated_at, reservation_id, carrier,
                   tracking_number, cancel_reason, payment_id, payment_status, payment_rank, refunded_minor, was_version)
), locked AS MATERIALIZED (
    SELECT change.* FROM change JOIN held USING (order_id)
    JOIN orders ON orders.order_id = change.order_id AND orders.version = change.was_version
    WHERE orders.order_id BETWEEN $29 AND $30
    ORDER BY orders.order_id FOR UPDATE OF orders
), standing AS MATERIALIZED (
    SELECT * FROM held
    WHERE order_id IN (SELECT order_id FROM locked) OR order_id NOT IN (SELECT order_id FROM change)
), moved AS (
    UPDATE orders SET ",
    set_order!(),
    " FROM locked AS change WHERE orders.order_id = change.order_id AND orders.order_id BETWEEN $29 AND $30
), history AS (
    INSERT INTO order_history (order_id, sequence, status, at, reason, refunded_minor)
    SELECT entry.* FROM UNNEST($31::uuid[], $32::bigint[], $33::text[], $34::timestamptz[], $35::text[], $36::bigint[])
                            AS entry (order_id, sequence, status, at, reason, refunded_minor)
    WHERE order_id IN (SELECT order_id FROM locked)
), told AS (
    INSERT INTO outbox (topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload)
    SELECT topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload
    FROM UNNEST($37::uuid[], $38::text[], $39::text[], $40::uuid[], $41::text[], $42::text[], $43::timestamptz[],
                $44::bigint[], $45::text[], $46::bytea[])
             AS event (order_id, topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload)
    WHERE order_id IN (SELECT order_id FROM locked)
), logged AS (
    INSERT INTO saga_log (saga_id, step, event, attempt, at, detail)
    SELECT saga_id, step, event, attempt, at, detail
    FROM UNNEST($47::uuid[], $48::text[], $49::text[], $50::int[], $51::timestamptz[], $52::text[])
             WITH ORDINALITY AS line (saga_id, step, event, attempt, at, detail, place)
    WHERE saga_id IN (SELECT saga_id FROM standing) ORDER BY place
), answered AS (
    UPDATE idempotency_keys AS stored
    SET response_status = answer.status, response_body = answer.body, locked_until = NULL
    FROM UNNEST($53::uuid[], $54::text[], $55::text[], $56::smallint[], $57::bytea[])
             AS answer (saga_id, caller, key, status, body)
    WHERE stored.caller = answer.caller AND stored.key = answer.key
      AND answer.saga_id IN (SELECT saga_id FROM standing)
    RETURNING 1
), driven AS (
    UPDATE sagas SET ",
    set_saga!(),
    " FROM standing AS change WHERE sagas.saga_id = change.saga_id AND sagas.fence = change.fence
)
SELECT saga_id, (SELECT count(*) FROM answered) AS answers FROM standing"
);

/// Writes steps that still fit, as one commit by itself.
pub(crate) async fn write(conn: &mut PgConnection, steps: &[StepWrite<'_>]) -> Result<Written, StoreError> {
    const OP: &str = "steps.write";
    let progress: Vec<_> = steps.iter().map(|step| (step.saga, step.progress)).collect();
    let changes: Vec<Change<'_>> = steps
        .iter()
        .map(|step| step.order)
        .filter(|change| change.before != change.after)
        .collect();
    let ids = || changes.iter().map(|change| change.before.id.as_uuid());
    let query = bind_progress(sqlx::query(WRITE), &progress)
        .bind(column(steps, |step| step.saga.order_id.as_uuid()))
        .bind(column(steps, |step| step.saga.wakes));
    let query = bind_changes(query, &changes)
        .bind(column(&changes, |change| change.before.version))
        // An array alone would have every month looked at.
        .bind(ids().min())
        .bind(ids().max());
    let query = bind_history(query, &changes);
    let query = bind_events(query, steps);
    let query = bind_lines(query, steps);
    let rows = bind_answers(query, steps).fetch_all(conn).await.op(OP)?;
    let mut written = Written::default();
    for row in rows {
        let saga: Uuid = row.try_get("saga_id").op(OP)?;
        let answers: i64 = row.try_get("answers").op(OP)?;
        written.sagas.insert(SagaId(saga));
        written.answers = u64::try_from(answers).unwrap_or(0);
    }
    Ok(written)
}

/// The newest entry of each history that has grown.
fn bind_history<'q>(query: PgQuery<'q>, changes: &[Change<'_>]) -> PgQuery<'q> {
    let moved: Vec<&Order> = changes
        .iter()
        .filter(|change| change.after.sequence() > change.before.sequence())
        .map(|change| change.after)
        .collect();
    // An order without a history gives a row without a status, which the table refuses.
    let newest = |order: &&Order| order.history.last().cloned();
    query
        .bind(column(&moved, |order| order.id.as_uuid()))
        .bind(column(&moved, |order| order.sequence()))
        .bind(column(&moved, |order| {
            newest(order).map(|entry| entry.status.as_str())
        }))
        .bind(column(&moved, |order| newest(order).map(|entry| entry.at)))
        .bind(column(&moved, |order| {
            newest(order).and_then(|entry| entry.reason)
        }))
        .bind(column(&moved, |order| {
            newest(order).and_then(|entry| Some(entry.refunded?.amount_minor))
        }))
}

fn bind_events<'q>(query: PgQuery<'q>, steps: &[StepWrite<'_>]) -> PgQuery<'q> {
    let events: Vec<_> = steps
        .iter()
        .filter_map(|step| Some((step.saga.order_id, step.event?)))
        .collect();
    query
        .bind(column(&events, |(order, _)| order.as_uuid()))
        .bind(column(&events, |(_, event)| event.topic.name()))
        .bind(column(&events, |(_, event)| event.envelope.subject.clone()))
        .bind(column(&events, |(_, event)| event.envelope.id.as_uuid()))
        .bind(column(&events, |(_, event)| event.envelope.event_type.clone()))
        .bind(column(&events, |(_, event)| event.envelope.source.clone()))
        .bind(column(&events, |(_, event)| event.envelope.time))
        .bind(column(&events, |(_, event)| event.envelope.sequence))
        .bind(column(&events, |(_, event)| event.envelope.traceparent.clone()))
        .bind(column(&events, |(_, event)| event.envelope.payload.to_vec()))
}

fn bind_lines<'q>(query: PgQuery<'q>, steps: &[StepWrite<'_>]) -> PgQuery<'q> {
    let lines: Vec<&LogLine> = steps.iter().flat_map(|step| step.lines).collect();
    query
        .bind(column(&lines, |line| line.saga.as_uuid()))
        .bind(column(&lines, |line| line.step.as_str()))
        .bind(column(&lines, |line| line.event))
        .bind(column(&lines, |line| line.attempt))
        .bind(column(&lines, |line| line.at))
        .bind(column(&lines, |line| line.detail.clone()))
}

fn bind_answers<'q>(query: PgQuery<'q>, steps: &[StepWrite<'_>]) -> PgQuery<'q> {
    let answers: Vec<_> = steps
        .iter()
        .filter_map(|step| Some((step.saga.id, step.answer?)))
        .collect();
    query
        .bind(column(&answers, |(saga, _)| saga.as_uuid()))
        .bind(column(&answers, |(_, (key, _))| key.caller().to_owned()))
        .bind(column(&answers, |(_, (key, _))| key.key().to_owned()))
        .bind(column(&answers, |(_, (_, answer))| {
            i16::try_from(answer.status).unwrap_or(i16::MAX)
        }))
        .bind(column(&answers, |(_, (_, answer))| answer.body.clone()))
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
