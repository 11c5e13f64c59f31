//! Writing orders, many at a time.

use std::collections::{HashMap, HashSet};

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::refunds;
use crate::domain::{CancelReason, HistoryEntry, Line, Order, PaymentFact, ShippingAddress};
use crate::store::{PgQuery, expect, expect_one};

/// Inserts new orders, which are PLACED, with their lines and the beginnings of their histories. Answers which
/// were inserted: an order whose id is taken is left out.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    orders: &[&Order],
) -> Result<HashSet<OrderId>, StoreError> {
    const OP: &str = "orders.insert";
    let mut sorted = orders.to_vec();
    // In one order everywhere: two batches that share ids then never wait for each other.
    sorted.sort_by_key(|order| order.id.as_uuid());
    let ids: Vec<Uuid> = sorted.iter().map(|order| order.id.as_uuid()).collect();
    let customers: Vec<Uuid> = sorted.iter().map(|order| order.customer_id.as_uuid()).collect();
    let guests: Vec<bool> = sorted.iter().map(|order| order.guest).collect();
    let emails: Vec<&str> = sorted.iter().map(|order| order.email.as_str()).collect();
    let carts: Vec<Option<String>> = sorted
        .iter()
        .map(|order| order.cart_id.map(|cart| cart.to_string()))
        .collect();
    let statuses: Vec<&str> = sorted.iter().map(|order| order.status().as_str()).collect();
    let totals: Vec<i64> = sorted.iter().map(|order| order.total.amount_minor).collect();
    let currencies: Vec<&str> = sorted.iter().map(|order| order.total.currency.as_str()).collect();
    let addresses: Vec<Json<&ShippingAddress>> = sorted.iter().map(|order| Json(&order.address)).collect();
    let sequences: Vec<i64> = sorted.iter().map(|order| order.sequence()).collect();
    let versions: Vec<i64> = sorted.iter().map(|order| order.version).collect();
    let times: Vec<Timestamp> = sorted.iter().map(|order| order.created_at).collect();
    let inserted: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO orders (order_id, customer_id, guest, email, cart_id, status, total_minor, currency,
                             shipping_address, sequence, version, created_at, updated_at)
         SELECT *, created_at FROM UNNEST($1::uuid[], $2::uuid[], $3::bool[], $4::text[], $5::text[], $6::text[],
                                          $7::bigint[], $8::text[], $9::jsonb[], $10::bigint[], $11::bigint[],
                                          $12::timestamptz[])
                  AS new (order_id, customer_id, guest, email, cart_id, status, total_minor, currency,
                          shipping_address, sequence, version, created_at)
         ON CONFLICT (order_id) DO NOTHING RETURNING order_id",
    )
    .bind(ids)
    .bind(customers)
    .bind(guests)
    .bind(emails)
    .bind(carts)
    .bind(statuses)
    .bind(totals)
    .bind(currencies)
    .bind(addresses)
    .bind(sequences)
    .bind(versions)
    .bind(times)
    .fetch_all(&mut *conn)
    .await
    .op(OP)?;
    let inserted: HashSet<OrderId> = inserted.into_iter().map(OrderId).collect();
    let new: Vec<&Order> = sorted
        .into_iter()
        .filter(|order| inserted.contains(&order.id))
        .collect();
    insert_lines(conn, &new).await?;
    append_history(conn, &new).await?;
    Ok(inserted)
}

async fn insert_lines(conn: &mut PgConnection, orders: &[&Order]) -> Result<(), StoreError> {
    const OP: &str = "order_lines.insert";
    let numbered: Vec<(Uuid, i32, &Line)> = orders
        .iter()
        .flat_map(|order| {
            let numbered = (1_i32..).zip(&order.lines);
            numbered.map(|(number, line)| (order.id.as_uuid(), number, line))
        })
        .collect();
    let ids: Vec<Uuid> = numbered.iter().map(|(id, _, _)| *id).collect();
    let numbers: Vec<i32> = numbered.iter().map(|(_, number, _)| *number).collect();
    let lines = || numbered.iter().map(|(_, _, line)| *line);
    let skus: Vec<Uuid> = lines().map(|line| line.sku_id.as_uuid()).collect();
    let products: Vec<Uuid> = lines().map(|line| line.product_id.as_uuid()).collect();
    let codes: Vec<&str> = lines().map(|line| line.sku.as_str()).collect();
    let titles: Vec<&str> = lines().map(|line| line.title.as_str()).collect();
    let quantities: Vec<i32> = lines().map(|line| line.quantity.as_i32()).collect();
    let prices: Vec<i64> = lines().map(|line| line.unit_price.amount_minor).collect();
    let expected = numbered.len();
    let done = sqlx::query(
        "INSERT INTO order_lines (order_id, line_no, sku_id, product_id, sku, title, quantity, unit_price_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::int[],
                              $8::bigint[])",
    )
    .bind(ids)
    .bind(numbers)
    .bind(skus)
    .bind(products)
    .bind(codes)
    .bind(titles)
    .bind(quantities)
    .bind(prices)
    .execute(conn)
    .await
    .op(OP)?;
    expect(OP, expected, done.rows_affected())
}

/// Writes the newest entry of each order's history.
async fn append_history(conn: &mut PgConnection, orders: &[&Order]) -> Result<(), StoreError> {
    const OP: &str = "order_history.append";
    if orders.is_empty() {
        return Ok(());
    }
    let entries: Vec<&HistoryEntry> = orders.iter().filter_map(|order| order.history.last()).collect();
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id.as_uuid()).collect();
    let sequences: Vec<i64> = orders.iter().map(|order| order.sequence()).collect();
    let statuses: Vec<&str> = entries.iter().map(|entry| entry.status.as_str()).collect();
    let times: Vec<Timestamp> = entries.iter().map(|entry| entry.at).collect();
    let reasons: Vec<Option<&str>> = entries.iter().map(|entry| entry.reason.as_deref()).collect();
    let refunded: Vec<Option<i64>> = entries
        .iter()
        .map(|entry| entry.refunded.map(|refunded| refunded.amount_minor))
        .collect();
    // An order without a history gives a row without a status, which the table refuses.
    let done = sqlx::query(
        "INSERT INTO order_history (order_id, sequence, status, at, reason, refunded_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[])",
    )
    .bind(ids)
    .bind(sequences)
    .bind(statuses)
    .bind(times)
    .bind(reasons)
    .bind(refunded)
    .execute(conn)
    .await
    .op(OP)?;
    expect(OP, orders.len(), done.rows_affected())
}

/// An order as it stood and as it is to stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) before: &'a Order,
    pub(crate) after: &'a Order,
}

/// Writes what has changed, where the order still stands as `before` says. Answers its new version.
pub(crate) async fn update(conn: &mut PgConnection, change: Change<'_>) -> Result<i64, StoreError> {
    const OP: &str = "orders.update";
    let versions: Vec<PgRow> = bind_changes(sqlx::query(UPDATE), &[change])
        .fetch_all(&mut *conn)
        .await
        .op(OP)?;
    let [row] = versions.as_slice() else {
        let rows = u64::try_from(versions.len()).unwrap_or(u64::MAX);
        return expect_one(OP, rows).map(|()| change.before.version);
    };
    let version = row.try_get("version").op(OP)?;
    if change.after.sequence() > change.before.sequence() {
        append_history(conn, &[change.after]).await?;
    }
    refunds::append(conn, change).await?;
    Ok(version)
}

/// Binds the columns of changes, in the order of [`UPDATE`]'s parameters.
pub(in crate::store) fn bind_changes<'q>(query: PgQuery<'q>, changes: &[Change<'_>]) -> PgQuery<'q> {
    let before = || changes.iter().map(|change| change.before);
    let after = || changes.iter().map(|change| change.after);
    let payments = || after().map(|order| order.payment);
    let shipments = || after().map(Order::shipment);
    query
        .bind(before().map(|order| order.id.as_uuid()).collect::<Vec<_>>())
        .bind(before().map(|order| order.status().as_str()).collect::<Vec<_>>())
        .bind(before().map(Order::sequence).collect::<Vec<_>>())
        .bind(after().map(|order| order.status().as_str()).collect::<Vec<_>>())
        .bind(after().map(Order::sequence).collect::<Vec<_>>())
        .bind(after().map(|order| order.updated_at).collect::<Vec<_>>())
        .bind(
            after()
                .map(|order| order.reservation_id().map(|id| id.as_uuid()))
                .collect::<Vec<_>>(),
        )
        .bind(
            shipments()
                .map(|shipment| shipment?.carrier.clone())
                .collect::<Vec<_>>(),
        )
        .bind(
            shipments()
                .map(|shipment| shipment?.tracking_number.clone())
                .collect::<Vec<_>>(),
        )
        .bind(
            after()
                .map(|order| order.cancel_reason().map(CancelReason::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            payments()
                .map(|payment| payment.map(|payment| payment.payment_id.as_uuid()))
                .collect::<Vec<_>>(),
        )
        .bind(
            payments()
                .map(|payment| payment.map(|payment| payment.status.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(
            payments()
                .map(|payment| payment.map_or(0, |payment| payment.status.rank()))
                .collect::<Vec<_>>(),
        )
        .bind(
            payments()
                .map(|payment| payment.map_or(0, |payment| payment.refunded_minor))
                .collect::<Vec<_>>(),
        )
}

/// What becomes of an order. Payment's news come from payment-events as well: only newer ones are taken.
macro_rules! set_order {
    () => {
        "status = change.status, sequence = change.sequence, updated_at = change.updated_at,
         version = orders.version + 1, reservation_id = change.reservation_id, carrier = change.carrier,
         tracking_number = change.tracking_number, cancel_reason = change.cancel_reason,
         payment_id = CASE WHEN change.payment_rank >= orders.payment_rank
                           THEN COALESCE(change.payment_id, orders.payment_id) ELSE orders.payment_id END,
         payment_status = CASE WHEN change.payment_rank >= orders.payment_rank
                               THEN COALESCE(change.payment_status, orders.payment_status)
                               ELSE orders.payment_status END,
         payment_rank = GREATEST(orders.payment_rank, change.payment_rank),
         refunded_minor = GREATEST(orders.refunded_minor, change.refunded_minor)"
    };
}
pub(in crate::store) use set_order;

const UPDATE: &str = concat!(
    "UPDATE orders SET ",
    set_order!(),
    " FROM UNNEST($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[], $7::uuid[],
                 $8::text[], $9::text[], $10::text[], $11::uuid[], $12::text[], $13::smallint[], $14::bigint[])
          AS change (order_id, was_status, was_sequence, status, sequence, updated_at, reservation_id, carrier,
                     tracking_number, cancel_reason, payment_id, payment_status, payment_rank, refunded_minor)
     WHERE orders.order_id = change.order_id AND orders.status = change.was_status
       AND orders.sequence = change.was_sequence
     RETURNING orders.version"
);

/// Takes note of what payment-events say. Answers how many orders it was news to; of an order that is not here
/// nothing is kept.
pub(crate) async fn note_payments(
    conn: &mut PgConnection,
    facts: &HashMap<OrderId, PaymentFact>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = facts.keys().map(OrderId::as_uuid).collect();
    let ranks: Vec<i16> = facts.values().map(|fact| fact.status.rank()).collect();
    let refunded: Vec<i64> = facts.values().map(|fact| fact.refunded_minor).collect();
    // The checkout that made the payment has mostly written it down itself by now.
    let behind: Vec<Uuid> = sqlx::query_scalar(
        "SELECT orders.order_id FROM UNNEST($1::uuid[], $2::smallint[], $3::bigint[])
              AS fact (order_id, payment_rank, refunded_minor)
         JOIN orders USING (order_id)
         WHERE orders.order_id BETWEEN $4 AND $5
           AND (orders.payment_rank < fact.payment_rank OR orders.refunded_minor < fact.refunded_minor)
         ORDER BY orders.order_id FOR UPDATE OF orders",
    )
    .bind(&ids)
    .bind(ranks)
    .bind(refunded)
    // An array alone would have every month looked at.
    .bind(ids.iter().min())
    .bind(ids.iter().max())
    .fetch_all(&mut *conn)
    .await
    .op("orders.note_payments")?;
    if behind.is_empty() {
        return Ok(0);
    }
    let known = behind.iter().filter_map(|id| facts.get(&OrderId(*id)));
    let payments: Vec<Uuid> = known.clone().map(|fact| fact.payment_id.as_uuid()).collect();
    let statuses: Vec<&str> = known.clone().map(|fact| fact.status.as_str()).collect();
    let refunded: Vec<i64> = known.clone().map(|fact| fact.refunded_minor).collect();
    let ranks: Vec<i16> = known.map(|fact| fact.status.rank()).collect();
    let done = sqlx::query(
        "UPDATE orders SET payment_id = fact.payment_id, payment_status = fact.payment_status,
                           payment_rank = fact.payment_rank, updated_at = $5, version = version + 1,
                           refunded_minor = GREATEST(orders.refunded_minor, fact.refunded_minor)
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $6::bigint[])
              AS fact (order_id, payment_id, payment_status, payment_rank, refunded_minor)
         WHERE orders.order_id = fact.order_id AND orders.payment_rank <= fact.payment_rank",
    )
    .bind(behind)
    .bind(payments)
    .bind(statuses)
    .bind(ranks)
    .bind(now)
    .bind(refunded)
    .execute(conn)
    .await
    .op("orders.note_payments")?;
    Ok(done.rows_affected())
}
