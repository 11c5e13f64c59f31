use std::collections::BTreeMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Money, ProductId, SkuId, Timestamp, UserId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::products::status;
use crate::domain::Status;

/// What another service needs to know of a SKU to sell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PricedSku {
    sku_id: SkuId,
    product_id: ProductId,
    merchant_id: UserId,
    sku: String,
    title: String,
    options: BTreeMap<String, String>,
    /// With the sale that is on.
    price: Money,
    /// Only `active` ones may be sold. A variant that its product dropped is `archived`.
    status: Status,
}

pub(crate) async fn by_sku_ids(
    executor: impl PgExecutor<'_>,
    sku_ids: &[Uuid],
    now: Timestamp,
) -> Result<Vec<PricedSku>, StoreError> {
    let rows = sqlx::query(
        "SELECT v.sku_id, v.product_id, v.merchant_id, v.sku, p.title, v.options, v.currency,
                CASE WHEN v.sale_from > $2 OR v.sale_until <= $2 THEN v.amount_minor
                     ELSE coalesce(v.sale_amount_minor, v.amount_minor) END AS amount_minor,
                CASE WHEN v.listed THEN p.status ELSE 'archived' END AS status
           FROM variants v JOIN products p ON p.product_id = v.product_id
          WHERE v.sku_id = ANY($1)",
    )
    .bind(sku_ids)
    .bind(now)
    .fetch_all(executor)
    .await
    .op("prices.by_sku_ids")?;
    rows.iter().map(priced).collect()
}

fn priced(row: &PgRow) -> Result<PricedSku, StoreError> {
    const OP: &str = "prices.read";
    let sku_id: Uuid = row.try_get("sku_id").op(OP)?;
    let currency: String = row.try_get("currency").op(OP)?;
    let currency = currency.parse().map_err(|error| StoreError::Corrupt {
        table: "variants",
        column: "currency",
        row: sku_id.to_string(),
        reason: format!("{error}"),
    })?;
    let product_id: Uuid = row.try_get("product_id").op(OP)?;
    let options: Json<BTreeMap<String, String>> = row.try_get("options").op(OP)?;
    Ok(PricedSku {
        sku_id: SkuId(sku_id),
        product_id: ProductId(product_id),
        merchant_id: UserId(row.try_get("merchant_id").op(OP)?),
        sku: row.try_get("sku").op(OP)?,
        title: row.try_get("title").op(OP)?,
        options: options.0,
        price: Money::new(row.try_get("amount_minor").op(OP)?, currency),
        status: status(row, product_id)?,
    })
}
