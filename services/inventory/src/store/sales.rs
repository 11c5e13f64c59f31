use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{SkuId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::{Counters, Sale, SaleId, SaleState};
use crate::store::changes::{Changes, PurchaseRow};

const COLUMNS: &str = "sale_id, sku_id, owner, name, state, units_per_buyer_max, waitlist_units_max, shards, starts_at, \
                       ends_at, created_at";

/// Requests of one process in a sale since it last said so.
#[derive(Debug, Clone, Copy)]
pub struct SaleCount {
    pub sale: SaleId,
    pub admitted: i64,
    pub refused: i64,
}

/// A sale in one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub sale: Sale,
    pub counters: Counters,
    /// Units that buyers of the sale have.
    pub sold: i64,
    pub admitted: i64,
    pub refused: i64,
}

/// What a commit changes of sales, after its stock.
pub(super) async fn apply(conn: &mut PgConnection, changes: &Changes) -> Result<(), StoreError> {
    let marked = changes
        .stock
        .iter()
        .filter(|row| (row.before.waiting, row.before.sale) != (row.after.waiting, row.after.sale));
    for row in marked {
        let sale = row.after.sale;
        sqlx::query(
            "UPDATE stock SET waiting = $2, sale_id = $3, sale_units_max = $4, sale_live = $5 WHERE sku_id = $1",
        )
        .bind(row.sku.as_uuid())
        .bind(row.after.waiting)
        .bind(sale.map(|terms| terms.sale.0))
        .bind(sale.map(|terms| terms.units_per_buyer_max))
        .bind(sale.is_some_and(|terms| terms.live))
        .execute(&mut *conn)
        .await
        .op("stock.mark")?;
    }
    if !changes.bought.is_empty() {
        sqlx::query(
            "INSERT INTO flash_sale_purchases (sale_id, buyer_id, order_id, units)
             SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[])",
        )
        .bind(column(&changes.bought, |row| row.sale.0))
        .bind(column(&changes.bought, |row| row.buyer.as_uuid()))
        .bind(column(&changes.bought, |row| row.order_id.as_uuid()))
        .bind(changes.bought.iter().map(|row| row.units).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await
        .op("purchases.insert")?;
    }
    if !changes.returned.is_empty() {
        // What was reserved before the sale is not there.
        sqlx::query(
            "DELETE FROM flash_sale_purchases p
             USING UNNEST($1::uuid[], $2::uuid[], $3::uuid[]) AS r(sale_id, buyer_id, order_id)
             WHERE (p.sale_id, p.buyer_id, p.order_id) = (r.sale_id, r.buyer_id, r.order_id)",
        )
        .bind(column(&changes.returned, |row| row.sale.0))
        .bind(column(&changes.returned, |row| row.buyer.as_uuid()))
        .bind(column(&changes.returned, |row| row.order_id.as_uuid()))
        .execute(&mut *conn)
        .await
        .op("purchases.remove")?;
    }
    Ok(())
}

fn column(rows: &[PurchaseRow], value: impl Fn(&PurchaseRow) -> Uuid) -> Vec<Uuid> {
    rows.iter().map(value).collect()
}

/// What these buyers have in these sales. Only under the locks of the sales' SKUs is it final.
pub async fn bought(
    conn: &mut PgConnection,
    sales: &[SaleId],
    buyers: &[UserId],
) -> Result<HashMap<(SaleId, UserId), i64>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT sale_id, buyer_id, sum(units)::bigint FROM flash_sale_purchases
         WHERE sale_id = ANY($1) AND buyer_id = ANY($2) GROUP BY sale_id, buyer_id",
    )
    .bind(sales.iter().map(|sale| sale.0).collect::<Vec<_>>())
    .bind(buyers.iter().map(UserId::as_uuid).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op("purchases.bought")?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(sale, buyer, units)| ((SaleId(sale), UserId(buyer)), units))
        .collect())
}

/// Answers false when the SKU has a sale that is not over.
pub async fn insert_sale(conn: &mut PgConnection, sale: &Sale) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO flash_sales (sale_id, sku_id, owner, name, state, units_per_buyer_max, waitlist_units_max,
                                  shards, starts_at, ends_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (sku_id) WHERE state <> 'ENDED' DO NOTHING",
    )
    .bind(sale.sale.0)
    .bind(sale.sku.as_uuid())
    .bind(&sale.owner)
    .bind(&sale.name)
    .bind(sale.state.as_str())
    .bind(sale.units_per_buyer_max)
    .bind(sale.waitlist_units_max)
    .bind(i32::from(sale.shards))
    .bind(sale.starts_at)
    .bind(sale.ends_at)
    .bind(sale.created_at)
    .execute(conn)
    .await
    .op("sales.insert")?;
    Ok(done.rows_affected() == 1)
}

pub async fn find_sale(conn: &mut PgConnection, sale: SaleId) -> Result<Option<Sale>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM flash_sales WHERE sale_id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(sale.0)
        .fetch_optional(conn)
        .await
        .op("sales.find")?;
    row.as_ref().map(read).transpose()
}

/// To be called under the lock of the SKU's stock.
pub async fn lock_sale(conn: &mut PgConnection, sale: SaleId) -> Result<Option<Sale>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM flash_sales WHERE sale_id = $1 FOR UPDATE");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(sale.0)
        .fetch_optional(conn)
        .await
        .op("sales.lock")?;
    row.as_ref().map(read).transpose()
}

/// The newest first. Drafts are seen by their owner alone, or, with `all`, by everybody.
pub async fn list_sales(
    conn: &mut PgConnection,
    before: Option<SaleId>,
    viewer: &str,
    all: bool,
    limit: i64,
) -> Result<Vec<Sale>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM flash_sales
         WHERE sale_id < $1 AND ($3 OR state <> 'DRAFT' OR owner = $2) ORDER BY sale_id DESC LIMIT $4"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(before.map_or(Uuid::max(), |sale| sale.0))
        .bind(viewer)
        .bind(all)
        .bind(limit)
        .fetch_all(conn)
        .await
        .op("sales.list")?;
    rows.iter().map(read).collect()
}

pub async fn write_sale_state(
    conn: &mut PgConnection,
    sale: SaleId,
    state: SaleState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE flash_sales SET state = $2,
                started_at = CASE WHEN $2 = 'LIVE' THEN $3 ELSE started_at END,
                ended_at = CASE WHEN $2 = 'ENDED' THEN $3 ELSE ended_at END
         WHERE sale_id = $1",
    )
    .bind(sale.0)
    .bind(state.as_str())
    .bind(now)
    .execute(conn)
    .await
    .op("sales.write_state")?;
    match done.rows_affected() {
        1 => Ok(()),
        actual => Err(StoreError::RowCount {
            operation: "sales.write_state",
            expected: 1,
            actual,
        }),
    }
}

/// Sales whose time to start or to stop has come.
pub async fn due_sales(conn: &mut PgConnection, now: Timestamp, limit: i64) -> Result<Vec<Sale>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM flash_sales
         WHERE state <> 'ENDED' AND (ends_at <= $1 OR (state <> 'LIVE' AND starts_at <= $1))
         ORDER BY sale_id LIMIT $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await
        .op("sales.due")?;
    rows.iter().map(read).collect()
}

/// The SKUs of the sales that are on.
pub async fn live_skus(conn: &mut PgConnection, limit: i64) -> Result<Vec<(SkuId, SaleId)>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT sku_id, sale_id FROM flash_sales WHERE state IN ('PRELOADED', 'LIVE') LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("sales.live")?;
    let rows = rows.into_iter();
    Ok(rows.map(|(sku, sale)| (SkuId(sku), SaleId(sale))).collect())
}

pub async fn count_requests(conn: &mut PgConnection, counts: &[SaleCount]) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE flash_sales f SET admitted = f.admitted + c.admitted, refused = f.refused + c.refused
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) AS c(sale_id, admitted, refused)
         WHERE f.sale_id = c.sale_id",
    )
    .bind(counts.iter().map(|count| count.sale.0).collect::<Vec<_>>())
    .bind(counts.iter().map(|count| count.admitted).collect::<Vec<_>>())
    .bind(counts.iter().map(|count| count.refused).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op("sales.count")?;
    Ok(())
}

pub async fn snapshots(conn: &mut PgConnection, sales: &[SaleId]) -> Result<Vec<Snapshot>, StoreError> {
    const OP: &str = "sales.snapshots";
    let rows = sqlx::query(
        "SELECT f.sale_id, f.sku_id, f.owner, f.name, f.state, f.units_per_buyer_max, f.waitlist_units_max, f.shards,
                f.starts_at, f.ends_at, f.created_at, f.admitted, f.refused,
                s.on_hand, s.reserved, s.version, s.discontinued, s.waiting, s.sale_units_max, s.sale_live,
                (SELECT COALESCE(sum(units), 0)::bigint FROM flash_sale_purchases p WHERE p.sale_id = f.sale_id)
                    AS sold
         FROM flash_sales f JOIN stock s USING (sku_id) WHERE f.sale_id = ANY($1)",
    )
    .bind(sales.iter().map(|sale| sale.0).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op(OP)?;
    let rows = rows.iter().map(|row| {
        let sale = read(row)?;
        let units = Counters {
            sale: None,
            on_hand: row.try_get("on_hand").op(OP)?,
            reserved: row.try_get("reserved").op(OP)?,
            version: row.try_get("version").op(OP)?,
            discontinued: row.try_get("discontinued").op(OP)?,
            waiting: row.try_get("waiting").op(OP)?,
        };
        Ok(Snapshot {
            sale,
            counters: units,
            sold: row.try_get("sold").op(OP)?,
            admitted: row.try_get("admitted").op(OP)?,
            refused: row.try_get("refused").op(OP)?,
        })
    });
    rows.collect()
}

fn read(row: &PgRow) -> Result<Sale, StoreError> {
    const OP: &str = "sales.read";
    let id: Uuid = row.try_get("sale_id").op(OP)?;
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "flash_sales",
        column,
        row: id.to_string(),
        reason,
    };
    let state: String = row.try_get("state").op(OP)?;
    let shards: i32 = row.try_get("shards").op(OP)?;
    Ok(Sale {
        sale: SaleId(id),
        sku: SkuId(row.try_get("sku_id").op(OP)?),
        owner: row.try_get("owner").op(OP)?,
        name: row.try_get("name").op(OP)?,
        state: SaleState::from_stored(&state).ok_or_else(|| corrupt("state", state.clone()))?,
        units_per_buyer_max: row.try_get("units_per_buyer_max").op(OP)?,
        waitlist_units_max: row.try_get("waitlist_units_max").op(OP)?,
        shards: u16::try_from(shards).map_err(|_| corrupt("shards", shards.to_string()))?,
        starts_at: row.try_get("starts_at").op(OP)?,
        ends_at: row.try_get("ends_at").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
    })
}
