use ferrocart_contracts::{Envelope, Topic};
use ferrocart_pg_kit::{StoreError, StoreResultExt, outbox};
use ferrocart_types::{OrderId, SkuId, Timestamp, UserId};
use sqlx::PgConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use crate::domain::{Channel, Counters, Kind, ReleaseReason, Reservation, SaleId, State};
use crate::store::sales;

/// The counters of a SKU before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockRow {
    pub sku: SkuId,
    pub before: Counters,
    pub after: Counters,
}

/// A reservation's state before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedRow {
    pub order_id: OrderId,
    pub before: State,
    pub after: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    pub sku: SkuId,
    pub version: i64,
    pub kind: Kind,
    pub on_hand_delta: i64,
    pub reserved_delta: i64,
    pub order_id: Option<OrderId>,
    pub actor: String,
    pub reason: Option<String>,
    pub channel: Option<Channel>,
}

/// Units that count towards a buyer's limit in a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurchaseRow {
    pub sale: SaleId,
    pub buyer: UserId,
    pub order_id: OrderId,
    pub units: i64,
}

/// All that one commit changes.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// In the order of their SKUs.
    pub stock: Vec<StockRow>,
    pub granted: Vec<Reservation>,
    pub moved: Vec<MovedRow>,
    /// Reservations that last until then.
    pub extended: Vec<(OrderId, Timestamp)>,
    /// What stands for orders that were given up before they had a reservation.
    pub tombstones: Vec<Reservation>,
    pub ledger: Vec<LedgerRow>,
    pub events: Vec<Envelope>,
    /// What was bought in flash sales, and what was given back. SKUs that stand under one are only ever changed
    /// in transactions, so this needs no place in the one statement.
    pub bought: Vec<PurchaseRow>,
    pub returned: Vec<PurchaseRow>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.stock.is_empty()
            && self.granted.is_empty()
            && self.moved.is_empty()
            && self.extended.is_empty()
            && self.tombstones.is_empty()
    }
}

/// One statement, so that it can be a whole commit by itself. It applies all or, when a row is no
/// longer as it was read, nothing: `expect_rows` then raises [`crate::store::STALE`].
///
/// A key's outbox rows come in the order of its versions even though the statement may take their ids
/// before it has the SKU's lock: it succeeds only from the newest version, whose commit was over
/// when that version was read.
const APPLY: &str = "
WITH stock_rows AS (
    UPDATE stock s
    SET on_hand = c.on_hand, reserved = c.reserved, version = c.version, discontinued = c.discontinued,
        updated_at = $1
    FROM UNNEST($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[])
         AS c(sku_id, expected, on_hand, reserved, version, discontinued)
    WHERE s.sku_id = c.sku_id AND s.version = c.expected
    RETURNING 1
), granted AS (
    INSERT INTO reservations (order_id, buyer_id, status, sku_ids, quantities, expires_at, created_at,
                              updated_at)
    SELECT g.order_id, g.buyer_id, 'RESERVED', ($8::uuid[])[g.first_line:g.last_line],
           ($9::integer[])[g.first_line:g.last_line], g.expires_at, $1, $1
    FROM UNNEST($10::uuid[], $11::timestamptz[], $12::integer[], $13::integer[], $14::uuid[])
         AS g(order_id, expires_at, first_line, last_line, buyer_id)
), moved AS (
    UPDATE reservations r SET status = m.status, release_reason = m.reason, updated_at = $1
    FROM UNNEST($15::uuid[], $16::text[], $17::text[], $18::text[]) AS m(order_id, expected, status, reason)
    WHERE r.order_id = m.order_id AND r.status = m.expected
    RETURNING 1
), ledger AS (
    INSERT INTO stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, order_id, actor, reason,
                              channel, at)
    SELECT l.*, $1
    FROM UNNEST($19::uuid[], $20::bigint[], $21::text[], $22::bigint[], $23::bigint[], $24::uuid[],
                $25::text[], $26::text[], $27::text[]) AS l
), events AS (
    INSERT INTO outbox (topic, source, occurred_at, key, event_count, packed)
    SELECT $28, $29, $1, e.* FROM UNNEST($30::text[], $31::integer[], $32::bytea[]) AS e
)
SELECT expect_rows((SELECT count(*) FROM stock_rows), cardinality($2::uuid[])),
       expect_rows((SELECT count(*) FROM moved), cardinality($15::uuid[]))";

type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// Extensions and tombstones are rare and are only ever decided from rows that a transaction has locked:
/// they have statements of their own, within it.
async fn apply_rare(conn: &mut PgConnection, changes: &Changes, now: Timestamp) -> Result<(), StoreError> {
    if !changes.extended.is_empty() {
        const OP: &str = "changes.extend";
        let done = sqlx::query(
            "UPDATE reservations r SET expires_at = e.expires_at, updated_at = $1
             FROM UNNEST($2::uuid[], $3::timestamptz[]) AS e(order_id, expires_at)
             WHERE r.order_id = e.order_id AND r.status = 'RESERVED'",
        )
        .bind(now)
        .bind(column(&changes.extended, |(order, _)| order.as_uuid()))
        .bind(column(&changes.extended, |(_, until)| *until))
        .execute(&mut *conn)
        .await
        .op(OP)?;
        let expected = u64::try_from(changes.extended.len()).unwrap_or(u64::MAX);
        if done.rows_affected() != expected {
            return Err(StoreError::RowCount {
                operation: OP,
                expected,
                actual: done.rows_affected(),
            });
        }
    }
    if !changes.tombstones.is_empty() {
        let reasons = column(&changes.tombstones, |row| {
            row.state.release_reason().map(ReleaseReason::as_str)
        });
        // A reservation that was made in this moment is a conflict, and the batch is decided anew.
        sqlx::query(
            "INSERT INTO reservations (order_id, status, release_reason, sku_ids, quantities, expires_at,
                                       created_at, updated_at)
             SELECT t.order_id, 'RELEASED', t.reason, '{}', '{}', $1, $1, $1
             FROM UNNEST($2::uuid[], $3::text[]) AS t(order_id, reason)",
        )
        .bind(now)
        .bind(column(&changes.tombstones, |row| row.order_id.as_uuid()))
        .bind(reasons)
        .execute(conn)
        .await
        .op("changes.tombstones")?;
    }
    Ok(())
}

pub async fn apply(conn: &mut PgConnection, changes: &Changes, now: Timestamp) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    apply_rare(conn, changes, now).await?;
    let query = sqlx::query(APPLY).bind(now);
    let query = bind_stock(query, &changes.stock);
    let query = bind_granted(query, &changes.granted)?;
    let query = bind_moved(query, &changes.moved);
    let query = bind_ledger(query, &changes.ledger);
    let query = bind_events(query, &changes.events);
    query.fetch_one(&mut *conn).await.op("changes.apply")?;
    sales::apply(conn, changes).await
}

fn bind_stock<'q>(query: PgQuery<'q>, rows: &[StockRow]) -> PgQuery<'q> {
    query
        .bind(column(rows, |row| row.sku.as_uuid()))
        .bind(column(rows, |row| row.before.version))
        .bind(column(rows, |row| row.after.on_hand))
        .bind(column(rows, |row| row.after.reserved))
        .bind(column(rows, |row| row.after.version))
        .bind(column(rows, |row| row.after.discontinued))
}

/// The lines of all reservations stand in two flat arrays, of which each takes its slice.
fn bind_granted<'q>(query: PgQuery<'q>, rows: &[Reservation]) -> Result<PgQuery<'q>, StoreError> {
    let mut skus: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut quantities: Vec<i32> = Vec::with_capacity(rows.len());
    let mut firsts: Vec<i32> = Vec::with_capacity(rows.len());
    let mut lasts: Vec<i32> = Vec::with_capacity(rows.len());
    let position = |count: usize| {
        i32::try_from(count).map_err(|_| StoreError::Corrupt {
            table: "reservations",
            column: "sku_ids",
            row: String::new(),
            reason: "more lines than one batch can have".to_owned(),
        })
    };
    for row in rows {
        // PostgreSQL counts from 1.
        firsts.push(position(skus.len() + 1)?);
        for line in &row.lines {
            skus.push(line.sku.as_uuid());
            quantities.push(line.quantity);
        }
        lasts.push(position(skus.len())?);
    }
    Ok(query
        .bind(skus)
        .bind(quantities)
        .bind(column(rows, |row| row.order_id.as_uuid()))
        .bind(column(rows, |row| row.expires_at))
        .bind(firsts)
        .bind(lasts)
        .bind(column(rows, |row| row.buyer.map(Uuid::from))))
}

fn bind_moved<'q>(query: PgQuery<'q>, rows: &[MovedRow]) -> PgQuery<'q> {
    query
        .bind(column(rows, |row| row.order_id.as_uuid()))
        .bind(column(rows, |row| row.before.as_str()))
        .bind(column(rows, |row| row.after.as_str()))
        .bind(column(rows, |row| {
            row.after.release_reason().map(ReleaseReason::as_str)
        }))
}

fn bind_ledger<'q>(query: PgQuery<'q>, rows: &'q [LedgerRow]) -> PgQuery<'q> {
    query
        .bind(column(rows, |row| row.sku.as_uuid()))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.kind.as_str()))
        .bind(column(rows, |row| row.on_hand_delta))
        .bind(column(rows, |row| row.reserved_delta))
        .bind(column(rows, |row| row.order_id.map(Uuid::from)))
        .bind(column(rows, |row| row.actor.as_str()))
        .bind(column(rows, |row| row.reason.as_deref()))
        .bind(column(rows, |row| row.channel.map(Channel::as_str)))
}

/// One row for all events of a SKU.
fn bind_events<'q>(query: PgQuery<'q>, events: &'q [Envelope]) -> PgQuery<'q> {
    let rows = outbox::pack(events);
    let counts = column(&rows, |row| row.count);
    let (keys, packed): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.key, row.bytes)).unzip();
    query
        .bind(Topic::Inventory.name())
        // All events of one commit come from this service.
        .bind(events.first().map_or("", |event| event.source.as_str()))
        .bind(keys)
        .bind(counts)
        .bind(packed)
}

fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
