use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{SkuId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::{Counters, SaleId, SaleTerms};

/// Locks the rows in the order of their ids, so that two transactions never wait for each other. SKUs
/// without stock are missing from the answer.
pub async fn lock_stock(
    conn: &mut PgConnection,
    skus: &[SkuId],
) -> Result<HashMap<SkuId, Counters>, StoreError> {
    const OP: &str = "stock.lock";
    let rows = sqlx::query(
        "SELECT sku_id, on_hand, reserved, version, discontinued, waiting, sale_id, sale_units_max, sale_live
         FROM stock WHERE sku_id = ANY($1) ORDER BY sku_id FOR UPDATE",
    )
    .bind(uuids(skus))
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter().map(counters).collect::<Result<_, _>>().op(OP)
}

pub async fn read_stock(
    conn: &mut PgConnection,
    skus: &[SkuId],
) -> Result<HashMap<SkuId, Counters>, StoreError> {
    const OP: &str = "stock.read";
    let rows = sqlx::query(
        "SELECT sku_id, on_hand, reserved, version, discontinued, waiting, sale_id, sale_units_max, sale_live
         FROM stock WHERE sku_id = ANY($1)",
    )
    .bind(uuids(skus))
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter().map(counters).collect::<Result<_, _>>().op(OP)
}

/// Whose the SKUs are, as far as it is known; SKUs without a row are missing from the answer.
pub async fn merchants(
    conn: &mut PgConnection,
    skus: &[SkuId],
) -> Result<HashMap<SkuId, Option<UserId>>, StoreError> {
    let rows: Vec<(Uuid, Option<Uuid>)> =
        sqlx::query_as("SELECT sku_id, merchant_id FROM stock WHERE sku_id = ANY($1)")
            .bind(uuids(skus))
            .fetch_all(conn)
            .await
            .op("stock.merchants")?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(sku, merchant)| (SkuId(sku), merchant.map(UserId)))
        .collect())
}

/// Writes down whose the SKUs are, where that was not known. A SKU without a row is passed over.
pub async fn learn_merchants(
    conn: &mut PgConnection,
    merchants: &[(SkuId, UserId)],
) -> Result<(), StoreError> {
    // Locked in the order of their ids, like everywhere.
    sqlx::query(
        "WITH known AS (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]) AS k(sku_id, merchant_id)),
              locked AS (SELECT sku_id FROM stock WHERE sku_id = ANY($1) AND merchant_id IS NULL
                         ORDER BY sku_id FOR UPDATE)
         UPDATE stock s SET merchant_id = k.merchant_id
         FROM known k JOIN locked USING (sku_id) WHERE s.sku_id = k.sku_id",
    )
    .bind(merchants.iter().map(|(sku, _)| sku.as_uuid()).collect::<Vec<_>>())
    .bind(
        merchants
            .iter()
            .map(|(_, merchant)| merchant.as_uuid())
            .collect::<Vec<_>>(),
    )
    .execute(conn)
    .await
    .op("stock.learn_merchants")?;
    Ok(())
}

/// Gives SKUs that have none a row with empty counters. Answers which ones had none.
pub async fn insert_missing(
    conn: &mut PgConnection,
    skus: &[SkuId],
    now: Timestamp,
) -> Result<Vec<SkuId>, StoreError> {
    const OP: &str = "stock.insert_missing";
    let rows = sqlx::query(
        "INSERT INTO stock (sku_id, on_hand, reserved, version, created_at, updated_at)
         SELECT sku_id, 0, 0, 0, $2, $2 FROM UNNEST($1::uuid[]) AS s(sku_id) ORDER BY sku_id
         ON CONFLICT DO NOTHING RETURNING sku_id",
    )
    .bind(uuids(skus))
    .bind(now)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| row.try_get("sku_id").map(SkuId))
        .collect::<Result<_, _>>()
        .op(OP)
}

fn uuids(skus: &[SkuId]) -> Vec<Uuid> {
    skus.iter().map(SkuId::as_uuid).collect()
}

fn counters(row: &PgRow) -> Result<(SkuId, Counters), sqlx::Error> {
    Ok((SkuId(row.try_get("sku_id")?), read_counters(row)?))
}

/// The counters that stand in a row with all columns of theirs.
pub(super) fn read_counters(row: &PgRow) -> Result<Counters, sqlx::Error> {
    let sale: Option<Uuid> = row.try_get("sale_id")?;
    let sale = match sale {
        None => None,
        Some(sale) => Some(SaleTerms {
            sale: SaleId(sale),
            units_per_buyer_max: row.try_get("sale_units_max")?,
            live: row.try_get("sale_live")?,
        }),
    };
    Ok(Counters {
        on_hand: row.try_get("on_hand")?,
        reserved: row.try_get("reserved")?,
        version: row.try_get("version")?,
        discontinued: row.try_get("discontinued")?,
        waiting: row.try_get("waiting")?,
        sale,
    })
}
