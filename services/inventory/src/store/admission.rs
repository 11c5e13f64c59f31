use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{SkuId, Timestamp};
use sqlx::{PgConnection, Row};

use crate::domain::Counters;
use crate::store::stock::read_counters;

/// A SKU that has a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GovernedRow {
    pub sku: SkuId,
    pub shards: u16,
}

/// What a counter is rebuilt from.
#[derive(Debug, Clone, Copy)]
pub struct Basis {
    pub shards: u16,
    pub counters: Counters,
    pub generation: i64,
}

/// The SKUs that have counters, at most `limit`.
pub async fn governed(conn: &mut PgConnection, limit: i64) -> Result<Vec<GovernedRow>, StoreError> {
    const OP: &str = "admission.governed";
    let rows = sqlx::query("SELECT sku_id, shards FROM admission ORDER BY sku_id LIMIT $1")
        .bind(limit)
        .fetch_all(conn)
        .await
        .op(OP)?;
    let rows = rows.iter().map(|row| {
        Ok(GovernedRow {
            sku: SkuId(row.try_get("sku_id").op(OP)?),
            shards: shards(row.try_get("shards").op(OP)?)?,
        })
    });
    rows.collect()
}

/// Puts the SKU on the list, if it has stock. Answers over how many keys its counter was spread before, 0 if it
/// had none; nothing when there is no stock of it.
pub async fn govern(
    conn: &mut PgConnection,
    sku: SkuId,
    shards: u16,
    now: Timestamp,
) -> Result<Option<u16>, StoreError> {
    const OP: &str = "admission.govern";
    let row = sqlx::query(
        "WITH before AS (SELECT shards FROM admission WHERE sku_id = $1)
         INSERT INTO admission (sku_id, shards, loaded_at)
         SELECT sku_id, $2, $3 FROM stock WHERE sku_id = $1 AND NOT discontinued
         ON CONFLICT (sku_id) DO UPDATE SET shards = excluded.shards, loaded_at = excluded.loaded_at
         RETURNING COALESCE((SELECT shards FROM before), 0) AS before",
    )
    .bind(sku.as_uuid())
    .bind(i32::from(shards))
    .bind(now)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    row.map(|row| self::shards(row.try_get("before").op(OP)?))
        .transpose()
}

/// Takes the SKU off the list. Answers over how many keys its counter was spread.
pub async fn ungovern(conn: &mut PgConnection, sku: SkuId) -> Result<Option<u16>, StoreError> {
    const OP: &str = "admission.ungovern";
    let before: Option<i32> = sqlx::query_scalar("DELETE FROM admission WHERE sku_id = $1 RETURNING shards")
        .bind(sku.as_uuid())
        .fetch_optional(conn)
        .await
        .op(OP)?;
    before.map(shards).transpose()
}

/// Locks the SKU's stock, so that nothing is committed that changes it until the caller's transaction ends.
/// Nothing when the SKU has no counter, or no stock.
pub async fn lock_basis(conn: &mut PgConnection, sku: SkuId) -> Result<Option<Basis>, StoreError> {
    const OP: &str = "admission.lock_basis";
    let row = sqlx::query(
        "SELECT a.shards, s.on_hand, s.reserved, s.version, s.discontinued, s.waiting, s.sale_id,
                s.sale_units_max, s.sale_live
         FROM admission a JOIN stock s USING (sku_id) WHERE a.sku_id = $1 FOR UPDATE OF s",
    )
    .bind(sku.as_uuid())
    .fetch_optional(&mut *conn)
    .await
    .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    let generation = sqlx::query_scalar("SELECT nextval('admission_generation')")
        .fetch_one(conn)
        .await
        .op(OP)?;
    Ok(Some(Basis {
        shards: shards(row.try_get("shards").op(OP)?)?,
        counters: read_counters(&row).op(OP)?,
        generation,
    }))
}

fn shards(stored: i32) -> Result<u16, StoreError> {
    u16::try_from(stored).map_err(|_| StoreError::Corrupt {
        table: "admission",
        column: "shards",
        row: String::new(),
        reason: format!("{stored} keys"),
    })
}
