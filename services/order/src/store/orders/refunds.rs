//! Money that went back: read with its order, and only ever added to.

use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Currency, Money, SagaId};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Change;
use crate::domain::{Refund, RefundedItem};
use crate::store::expect;

/// The refunds of orders with their currencies, oldest first.
pub(super) async fn read(
    conn: &mut PgConnection,
    orders: &HashMap<Uuid, Currency>,
) -> Result<HashMap<Uuid, Vec<Refund>>, StoreError> {
    const OP: &str = "order_refunds.read";
    let mut refunds: HashMap<Uuid, Vec<Refund>> = HashMap::new();
    // Of most orders nothing ever goes back.
    if orders.is_empty() {
        return Ok(refunds);
    }
    let rows = sqlx::query(
        "SELECT order_id, refund_id, amount_minor, items, reason, requested_by, created_at
         FROM order_refunds WHERE order_id = ANY($1) ORDER BY order_id, refund_id",
    )
    .bind(orders.keys().copied().collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op(OP)?;
    for row in rows {
        let id: Uuid = row.try_get("order_id").op(OP)?;
        let Some(currency) = orders.get(&id) else { continue };
        let Json(items): Json<Vec<RefundedItem>> = row.try_get("items").op(OP)?;
        refunds.entry(id).or_default().push(Refund {
            id: SagaId(row.try_get("refund_id").op(OP)?),
            amount: Money::new(row.try_get("amount_minor").op(OP)?, *currency),
            items,
            reason: row.try_get("reason").op(OP)?,
            by: row.try_get("requested_by").op(OP)?,
            at: row.try_get("created_at").op(OP)?,
        });
    }
    Ok(refunds)
}

/// Writes the refunds that the change has brought.
pub(super) async fn append(conn: &mut PgConnection, change: Change<'_>) -> Result<(), StoreError> {
    const OP: &str = "order_refunds.append";
    let id = change.after.id.as_uuid();
    let new: Vec<(Uuid, &Refund)> = change
        .after
        .refunds
        .iter()
        .skip(change.before.refunds.len())
        .map(|refund| (id, refund))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let refunds = || new.iter().map(|(_, refund)| *refund);
    let done = sqlx::query(
        "INSERT INTO order_refunds (order_id, refund_id, amount_minor, items, reason, requested_by, created_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::jsonb[], $5::text[], $6::text[],
                              $7::timestamptz[])",
    )
    .bind(new.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(refunds().map(|refund| refund.id.as_uuid()).collect::<Vec<_>>())
    .bind(refunds().map(|refund| refund.amount.amount_minor).collect::<Vec<_>>())
    .bind(refunds().map(|refund| Json(&refund.items)).collect::<Vec<_>>())
    .bind(refunds().map(|refund| refund.reason.as_deref()).collect::<Vec<_>>())
    .bind(refunds().map(|refund| refund.by.as_str()).collect::<Vec<_>>())
    .bind(refunds().map(|refund| refund.at).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op(OP)?;
    expect(OP, new.len(), done.rows_affected())
}
