use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, SkuId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::{Line, Lines, Reservation, State};

/// The reservations of these orders, as far as there are any.
pub async fn find(
    conn: &mut PgConnection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Reservation>, StoreError> {
    let rows = sqlx::query(
        "SELECT order_id, buyer_id, status, release_reason, sku_ids, quantities, created_at, expires_at FROM reservations
         WHERE order_id = ANY($1)",
    )
    .bind(uuids(orders))
    .fetch_all(conn)
    .await
    .op("reservations.find")?;
    by_order(&rows)
}

/// Like [`find`], and locks the rows in the order of their ids.
pub async fn lock(
    conn: &mut PgConnection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Reservation>, StoreError> {
    let rows = sqlx::query(
        "SELECT order_id, buyer_id, status, release_reason, sku_ids, quantities, created_at, expires_at FROM reservations
         WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(uuids(orders))
    .fetch_all(conn)
    .await
    .op("reservations.lock")?;
    by_order(&rows)
}

/// The reservations whose time is up, the oldest first, that nobody else is working on.
pub async fn lock_due(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<HashMap<OrderId, Reservation>, StoreError> {
    let rows = sqlx::query(
        "SELECT order_id, buyer_id, status, release_reason, sku_ids, quantities, created_at, expires_at FROM reservations
         WHERE status = 'RESERVED' AND expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("reservations.lock_due")?;
    by_order(&rows)
}

fn uuids(orders: &[OrderId]) -> Vec<Uuid> {
    orders.iter().map(OrderId::as_uuid).collect()
}

fn by_order(rows: &[PgRow]) -> Result<HashMap<OrderId, Reservation>, StoreError> {
    rows.iter()
        .map(|row| reservation(row).map(|found| (found.order_id, found)))
        .collect()
}

fn reservation(row: &PgRow) -> Result<Reservation, StoreError> {
    const OP: &str = "reservations.read";
    let order_id = OrderId(row.try_get("order_id").op(OP)?);
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "reservations",
        column,
        row: order_id.to_string(),
        reason,
    };
    let status: String = row.try_get("status").op(OP)?;
    let reason: Option<String> = row.try_get("release_reason").op(OP)?;
    let state = State::from_stored(&status, reason.as_deref())
        .ok_or_else(|| corrupt("status", format!("{status} with the reason {reason:?}")))?;
    let skus: Vec<Uuid> = row.try_get("sku_ids").op(OP)?;
    let quantities: Vec<i32> = row.try_get("quantities").op(OP)?;
    if skus.len() != quantities.len() {
        return Err(corrupt("quantities", "not one for each SKU".to_owned()));
    }
    let lines = skus.into_iter().zip(quantities).map(|(sku, quantity)| Line {
        sku: SkuId(sku),
        quantity,
    });
    let lines: Vec<Line> = lines.collect();
    let lines = if lines.is_empty() && state.release_reason().is_some() {
        Lines::none()
    } else {
        Lines::from_stored(lines).map_err(|error| corrupt("sku_ids", error.to_string()))?
    };
    let buyer: Option<Uuid> = row.try_get("buyer_id").op(OP)?;
    Ok(Reservation {
        order_id,
        buyer: buyer.map(UserId),
        lines,
        created_at: row.try_get("created_at").op(OP)?,
        expires_at: row.try_get("expires_at").op(OP)?,
        state,
    })
}
