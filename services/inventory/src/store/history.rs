use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, SkuId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// One change of a SKU, in the words of the ledger.
#[derive(Debug, Clone)]
pub struct PastChange {
    pub version: i64,
    pub kind: String,
    pub on_hand_delta: i64,
    pub reserved_delta: i64,
    pub order_id: Option<OrderId>,
    pub actor: String,
    pub reason: Option<String>,
    pub channel: Option<String>,
    pub at: Timestamp,
}

/// The changes before a version, the newest first.
pub async fn history(
    conn: &mut PgConnection,
    sku: SkuId,
    before: i64,
    limit: i64,
) -> Result<Vec<PastChange>, StoreError> {
    const OP: &str = "stock_ledger.history";
    let rows = sqlx::query(
        "SELECT version, kind, on_hand_delta, reserved_delta, order_id, actor, reason, channel, at
         FROM stock_ledger WHERE sku_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
    )
    .bind(sku.as_uuid())
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter().map(change).collect::<Result<_, _>>().op(OP)
}

fn change(row: &PgRow) -> Result<PastChange, sqlx::Error> {
    Ok(PastChange {
        version: row.try_get("version")?,
        kind: row.try_get("kind")?,
        on_hand_delta: row.try_get("on_hand_delta")?,
        reserved_delta: row.try_get("reserved_delta")?,
        order_id: row.try_get::<Option<Uuid>, _>("order_id")?.map(OrderId),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        channel: row.try_get("channel")?,
        at: row.try_get("at")?,
    })
}
