//! How checkouts begin, in one statement for many.

use std::collections::HashSet;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::outbox::OutboxEvent;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, Timestamp};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::PgQuery;
use super::sagas::{NewSaga, SagaState};
use crate::domain::{CancelReason, Line, Order};

/// A checkout before its first step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) key: &'a RequestKey,
    pub(crate) order: &'a Order,
    pub(crate) saga: NewSaga<'a>,
    pub(crate) event: &'a OutboxEvent,
}

/// A key that is taken leaves its checkout out. An order's id or a cart that is taken fails the statement: nothing
/// is written then, and it is for others to find out whose that is.
const OPEN: &str = "
WITH asked AS (
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::uuid[], $6::bool[], $7::text[], $8::text[],
                         $9::text[], $10::bigint[], $11::text[], $12::jsonb[], $13::bigint[], $14::bigint[],
                         $15::timestamptz[], $16::uuid[], $17::text[], $18::text[], $19::text[], $20::text[], $21::uuid[],
                         $22::timestamptz[], $23::bigint[], $24::jsonb[])
        AS asked (caller, key, request_hash, order_id, customer_id, guest, email, cart_id, status, total_minor,
                  currency, shipping_address, sequence, version, created_at, saga_id, kind, step, state, reason,
                  lease_owner, lease_until, fence, payload)
), claimed AS (
    INSERT INTO idempotency_keys (caller, key, request_hash, resource_id, locked_until, created_at)
    SELECT caller, key, request_hash, order_id, $26, $25 FROM asked ORDER BY caller, key
    ON CONFLICT DO NOTHING RETURNING resource_id
), fresh AS MATERIALIZED (
    SELECT * FROM asked WHERE order_id IN (SELECT resource_id FROM claimed)
), placed AS (
    INSERT INTO orders (order_id, customer_id, guest, email, cart_id, status, total_minor, currency,
                        shipping_address, sequence, version, created_at, updated_at)
    SELECT order_id, customer_id, guest, email, cart_id, status, total_minor, currency, shipping_address, sequence,
           version, created_at, created_at
    FROM fresh ORDER BY order_id
), lined AS (
    INSERT INTO order_lines (order_id, line_no, sku_id, product_id, sku, title, quantity, unit_price_minor)
    SELECT * FROM UNNEST($27::uuid[], $28::int[], $29::uuid[], $30::uuid[], $31::text[], $32::text[], $33::int[],
                         $34::bigint[])
        AS line (order_id, line_no, sku_id, product_id, sku, title, quantity, unit_price_minor)
    WHERE order_id IN (SELECT order_id FROM fresh)
), history AS (
    INSERT INTO order_history (order_id, sequence, status, at)
    SELECT order_id, sequence, status, created_at FROM fresh
), begun AS (
    INSERT INTO sagas (saga_id, order_id, kind, step, state, cart_id, reason, lease_owner, lease_until, fence,
                       payload, created_at, next_attempt_at, updated_at)
    SELECT saga_id, order_id, kind, step, state, cart_id, reason, lease_owner, lease_until, fence, payload, created_at,
           created_at, created_at
    FROM fresh ORDER BY cart_id, order_id
), logged AS (
    INSERT INTO saga_log (saga_id, step, event, attempt, at)
    SELECT saga_id, step, 'STARTED', 1, created_at FROM fresh
), told AS (
    INSERT INTO outbox (topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload)
    SELECT topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload
    FROM UNNEST($4::uuid[], $35::text[], $36::text[], $37::uuid[], $38::text[], $39::text[], $40::timestamptz[],
                $41::bigint[], $42::text[], $43::bytea[])
        AS event (order_id, topic, key, event_id, event_type, source, occurred_at, sequence, traceparent, payload)
    WHERE order_id IN (SELECT order_id FROM fresh)
)
SELECT order_id FROM fresh";

/// Whether no two of them want the same order, key or cart, which one statement could not tell apart.
pub(crate) fn are_distinct(openings: &[Opening<'_>]) -> bool {
    let (mut orders, mut keys, mut carts) = (HashSet::new(), HashSet::new(), HashSet::new());
    openings.iter().all(|opening| {
        orders.insert(opening.order.id)
            && keys.insert((opening.key.caller(), opening.key.key()))
            && opening
                .saga
                .cart
                .is_none_or(|cart| carts.insert(cart.to_string()))
    })
}

/// Claims keys until `locked_until`, and writes what begins under them: as one commit by itself. Answers which
/// have begun. All must be distinct.
pub(crate) async fn open(
    conn: &mut PgConnection,
    openings: &[Opening<'_>],
    now: Timestamp,
    locked_until: Timestamp,
) -> Result<HashSet<OrderId>, StoreError> {
    let query = bind_keys(sqlx::query(OPEN), openings);
    let query = bind_orders(query, openings);
    let query = bind_sagas(query, openings).bind(now).bind(locked_until);
    let query = bind_lines(query, openings);
    let begun = bind_events(query, openings)
        .fetch_all(conn)
        .await
        .op("beginnings.open")?;
    begun
        .iter()
        .map(|row| sqlx::Row::try_get::<Uuid, _>(row, 0).map(OrderId))
        .collect::<Result<_, _>>()
        .op("beginnings.open")
}

fn bind_keys<'q>(query: PgQuery<'q>, openings: &[Opening<'_>]) -> PgQuery<'q> {
    query
        .bind(column(openings, |opening| opening.key.caller().to_owned()))
        .bind(column(openings, |opening| opening.key.key().to_owned()))
        .bind(column(openings, |opening| opening.key.request_hash().to_vec()))
}

fn bind_orders<'q>(query: PgQuery<'q>, openings: &[Opening<'_>]) -> PgQuery<'q> {
    let orders: Vec<&Order> = openings.iter().map(|opening| opening.order).collect();
    query
        .bind(column(&orders, |order| order.id.as_uuid()))
        .bind(column(&orders, |order| order.customer_id.as_uuid()))
        .bind(column(&orders, |order| order.guest))
        .bind(column(&orders, |order| order.email.as_str().to_owned()))
        .bind(column(&orders, |order| {
            order.cart_id.map(|cart| cart.to_string())
        }))
        .bind(column(&orders, |order| order.status().as_str()))
        .bind(column(&orders, |order| order.total.amount_minor))
        .bind(column(&orders, |order| order.total.currency.as_str()))
        .bind(column(&orders, |order| Json(order.address.clone())))
        .bind(column(&orders, |order| order.sequence()))
        .bind(column(&orders, |order| order.version))
        .bind(column(&orders, |order| order.created_at))
}

fn bind_sagas<'q>(query: PgQuery<'q>, openings: &[Opening<'_>]) -> PgQuery<'q> {
    let new: Vec<NewSaga<'_>> = openings.iter().map(|opening| opening.saga).collect();
    query
        .bind(column(&new, |new| new.saga.id.as_uuid()))
        .bind(column(&new, |new| new.saga.kind.as_str()))
        .bind(column(&new, |new| new.saga.step.as_str()))
        .bind(column(&new, |new| SagaState::at(new.saga.step).as_str()))
        .bind(column(&new, |new| new.saga.reason.map(CancelReason::as_str)))
        .bind(column(&new, |new| new.lease.owner))
        .bind(column(&new, |new| new.lease.until))
        .bind(column(&new, |new| new.saga.fence))
        .bind(column(&new, |new| Json(new.saga.payload.clone())))
}

fn bind_lines<'q>(query: PgQuery<'q>, openings: &[Opening<'_>]) -> PgQuery<'q> {
    let lines: Vec<(Uuid, i32, &Line)> = openings
        .iter()
        .flat_map(|opening| {
            let id = opening.order.id.as_uuid();
            let numbered = (1_i32..).zip(&opening.order.lines);
            numbered.map(move |(number, line)| (id, number, line))
        })
        .collect();
    query
        .bind(column(&lines, |(id, _, _)| *id))
        .bind(column(&lines, |(_, number, _)| *number))
        .bind(column(&lines, |(_, _, line)| line.sku_id.as_uuid()))
        .bind(column(&lines, |(_, _, line)| line.product_id.as_uuid()))
        .bind(column(&lines, |(_, _, line)| line.sku.clone()))
        .bind(column(&lines, |(_, _, line)| line.title.clone()))
        .bind(column(&lines, |(_, _, line)| line.quantity.as_i32()))
        .bind(column(&lines, |(_, _, line)| line.unit_price.amount_minor))
}

/// One for each, in order.
fn bind_events<'q>(query: PgQuery<'q>, openings: &[Opening<'_>]) -> PgQuery<'q> {
    let events: Vec<&OutboxEvent> = openings.iter().map(|opening| opening.event).collect();
    query
        .bind(column(&events, |event| event.topic.name()))
        .bind(column(&events, |event| event.envelope.subject.clone()))
        .bind(column(&events, |event| event.envelope.id.as_uuid()))
        .bind(column(&events, |event| event.envelope.event_type.clone()))
        .bind(column(&events, |event| event.envelope.source.clone()))
        .bind(column(&events, |event| event.envelope.time))
        .bind(column(&events, |event| event.envelope.sequence))
        .bind(column(&events, |event| event.envelope.traceparent.clone()))
        .bind(column(&events, |event| event.envelope.payload.to_vec()))
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
