//! Counters, ledger and reservations side by side. Every commit changes all three at once, so a statement,
//! which sees one moment, finds no difference that is not real.
//!
//! None of these is a prepared statement: a plan that was made while the tables were small, and kept, would
//! go through the whole ledger for every SKU later.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, SkuId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::{LedgerSums, OrderGap, Standing};
use crate::store::stock::read_counters;

/// One SKU of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    pub sku: SkuId,
    pub standing: Standing,
    /// How many ledger rows had to be added up.
    pub tail: i64,
}

/// The next `limit` SKUs after `after`, in the order of their ids.
pub async fn look_at(
    conn: &mut PgConnection,
    after: Option<SkuId>,
    limit: i64,
) -> Result<Vec<Looked>, StoreError> {
    const OP: &str = "drift.look_at";
    let rows = sqlx::query(
        "WITH chunk AS (
             SELECT sku_id, on_hand, reserved, version, discontinued, waiting, sale_id, sale_units_max, sale_live
             FROM stock
             WHERE sku_id > $1 ORDER BY sku_id LIMIT $2
         ), open AS (
             SELECT l.sku_id, sum(l.units)::bigint AS units
             FROM (SELECT sku_ids, quantities FROM reservations WHERE status = 'RESERVED'
                   UNION ALL
                   SELECT sku_ids, quantities FROM reservations WHERE status = 'CONFIRMED') r,
                  UNNEST(r.sku_ids, r.quantities) AS l(sku_id, units)
             GROUP BY l.sku_id
         )
         SELECT c.*, t.tail, COALESCE(o.units, 0) AS open,
                COALESCE(s.on_hand, 0) + t.on_hand AS ledger_on_hand,
                COALESCE(s.reserved, 0) + t.reserved AS ledger_reserved,
                GREATEST(COALESCE(s.version, 0), t.version) AS ledger_version
         FROM chunk c
         LEFT JOIN stock_ledger_sums s USING (sku_id)
         LEFT JOIN open o USING (sku_id)
         CROSS JOIN LATERAL (
             SELECT COALESCE(sum(on_hand_delta), 0)::bigint AS on_hand,
                    COALESCE(sum(reserved_delta), 0)::bigint AS reserved,
                    COALESCE(max(version), 0) AS version, count(*) AS tail
             FROM stock_ledger l WHERE l.sku_id = c.sku_id AND l.version > COALESCE(s.version, 0)) t
         ORDER BY c.sku_id",
    )
    .persistent(false)
    .bind(after.map_or(Uuid::nil(), |sku| sku.as_uuid()))
    .bind(limit)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let looked = rows.iter().map(|row| {
        Ok(Looked {
            sku: SkuId(row.try_get("sku_id")?),
            standing: standing(row)?,
            tail: row.try_get("tail")?,
        })
    });
    looked.collect::<Result<_, sqlx::Error>>().op(OP)
}

/// One SKU, with its whole ledger added up.
pub async fn look_closely(conn: &mut PgConnection, sku: SkuId) -> Result<Option<Standing>, StoreError> {
    const OP: &str = "drift.look_closely";
    let row = sqlx::query(
        "SELECT c.on_hand, c.reserved, c.version, c.discontinued, c.waiting, c.sale_id, c.sale_units_max, c.sale_live,
                t.on_hand AS ledger_on_hand, t.reserved AS ledger_reserved, t.version AS ledger_version,
                (SELECT COALESCE(sum(l.units), 0)::bigint
                 FROM (SELECT sku_ids, quantities FROM reservations WHERE status = 'RESERVED' AND sku_ids @> ARRAY[$1]
                       UNION ALL
                       SELECT sku_ids, quantities FROM reservations WHERE status = 'CONFIRMED' AND sku_ids @> ARRAY[$1]) r,
                      UNNEST(r.sku_ids, r.quantities) AS l(sku_id, units)
                 WHERE l.sku_id = $1) AS open
         FROM stock c
         CROSS JOIN LATERAL (
             SELECT COALESCE(sum(on_hand_delta), 0)::bigint AS on_hand,
                    COALESCE(sum(reserved_delta), 0)::bigint AS reserved, COALESCE(max(version), 0) AS version
             FROM stock_ledger WHERE sku_id = $1) t
         WHERE c.sku_id = $1",
    )
    .persistent(false)
    .bind(sku.as_uuid())
    .fetch_optional(conn)
    .await
    .op(OP)?;
    row.as_ref().map(standing).transpose().op(OP)
}

fn standing(row: &PgRow) -> Result<Standing, sqlx::Error> {
    Ok(Standing {
        row: read_counters(row)?,
        ledger: LedgerSums {
            on_hand: row.try_get("ledger_on_hand")?,
            reserved: row.try_get("ledger_reserved")?,
            version: row.try_get("ledger_version")?,
        },
        open: row.try_get("open")?,
    })
}

/// The orders for which the SKU's ledger and the reservations differ, at most `limit`.
pub async fn order_gaps(
    conn: &mut PgConnection,
    sku: SkuId,
    limit: i64,
) -> Result<Vec<OrderGap>, StoreError> {
    const OP: &str = "drift.order_gaps";
    let rows = sqlx::query(
        "SELECT l.order_id, l.held, COALESCE(o.units, 0) AS open
         FROM (SELECT order_id, sum(reserved_delta)::bigint AS held FROM stock_ledger
               WHERE sku_id = $1 AND order_id IS NOT NULL GROUP BY order_id) l
         LEFT JOIN LATERAL (
             SELECT sum(u.units)::bigint AS units
             FROM reservations r, UNNEST(r.sku_ids, r.quantities) AS u(sku_id, units)
             WHERE r.order_id = l.order_id AND r.status IN ('RESERVED', 'CONFIRMED') AND u.sku_id = $1) o ON true
         WHERE l.held <> COALESCE(o.units, 0) ORDER BY l.order_id LIMIT $2",
    )
    .persistent(false)
    .bind(sku.as_uuid())
    .bind(limit)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let gaps = rows.iter().map(|row| {
        Ok(OrderGap {
            order_id: OrderId(row.try_get("order_id")?),
            ledger: row.try_get("held")?,
            open: row.try_get("open")?,
        })
    });
    gaps.collect::<Result<_, sqlx::Error>>().op(OP)
}

/// Keeps the ledger's sums as far as they were added up.
pub async fn keep_sums(conn: &mut PgConnection, sums: &[(SkuId, LedgerSums)]) -> Result<(), StoreError> {
    // Looked up again, they cost nothing but time: a newer one of another replica may stay or go.
    sqlx::query(
        "INSERT INTO stock_ledger_sums (sku_id, version, on_hand, reserved)
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) ORDER BY 1
         ON CONFLICT (sku_id) DO UPDATE
         SET version = excluded.version, on_hand = excluded.on_hand, reserved = excluded.reserved",
    )
    .bind(sums.iter().map(|(sku, _)| sku.as_uuid()).collect::<Vec<_>>())
    .bind(sums.iter().map(|(_, sums)| sums.version).collect::<Vec<_>>())
    .bind(sums.iter().map(|(_, sums)| sums.on_hand).collect::<Vec<_>>())
    .bind(sums.iter().map(|(_, sums)| sums.reserved).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op("drift.keep_sums")?;
    Ok(())
}
