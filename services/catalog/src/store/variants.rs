use std::collections::{BTreeMap, HashMap};

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{ProductId, SkuId, UserId};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{Product, SkuOwner};

/// To whom these article numbers of the merchant belong, as far as they were ever used.
pub(crate) async fn owners(
    conn: &mut PgConnection,
    merchant: UserId,
    skus: &[&str],
) -> Result<HashMap<String, SkuOwner>, StoreError> {
    const OP: &str = "variants.owners";
    let rows = sqlx::query(
        "SELECT sku, sku_id, product_id, listed FROM variants WHERE merchant_id = $1 AND sku = ANY($2)",
    )
    .bind(merchant.as_uuid())
    .bind(skus)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| {
            let owner = SkuOwner {
                sku_id: SkuId(row.try_get("sku_id")?),
                product_id: ProductId(row.try_get("product_id")?),
                listed: row.try_get("listed")?,
            };
            Ok((row.try_get("sku")?, owner))
        })
        .collect::<Result<_, _>>()
        .op(OP)
}

/// Makes the variants of these products what the products say.
pub(crate) async fn save(conn: &mut PgConnection, products: &[&Product]) -> Result<(), StoreError> {
    const OP: &str = "variants.save";
    let rows: Vec<(&Product, i16, &crate::domain::Variant)> = products
        .iter()
        .flat_map(|product| {
            let variants = (0_i16..).zip(&product.variants);
            variants.map(|(position, variant)| (*product, position, variant))
        })
        .collect();
    let product_ids: Vec<Uuid> = products.iter().map(|product| product.id.as_uuid()).collect();
    let each = || rows.iter();
    let sku_ids: Vec<Uuid> = each().map(|(_, _, variant)| variant.sku_id.as_uuid()).collect();
    sqlx::query(
        "UPDATE variants SET listed = false WHERE product_id = ANY($1) AND listed AND sku_id <> ALL($2)",
    )
    .bind(&product_ids)
    .bind(&sku_ids)
    .execute(&mut *conn)
    .await
    .op("variants.unlist")?;
    let done = sqlx::query(
        "INSERT INTO variants (sku_id, product_id, merchant_id, sku, position, options, amount_minor, currency,
                               sale_amount_minor, sale_from, sale_until, listed)
         SELECT *, true FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::jsonb[],
                                    $7::bigint[], $8::text[], $9::bigint[], $10::timestamptz[],
                                    $11::timestamptz[])
         ON CONFLICT (sku_id) DO UPDATE
            SET product_id = excluded.product_id, position = excluded.position, options = excluded.options,
                amount_minor = excluded.amount_minor, currency = excluded.currency,
                sale_amount_minor = excluded.sale_amount_minor, sale_from = excluded.sale_from,
                sale_until = excluded.sale_until, listed = true",
    )
    .bind(&sku_ids)
    .bind(each().map(|(product, _, _)| product.id.as_uuid()).collect::<Vec<_>>())
    .bind(each().map(|(product, _, _)| product.merchant_id.as_uuid()).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| variant.sku.as_str()).collect::<Vec<_>>())
    .bind(each().map(|(_, position, _)| *position).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| Json(&variant.options)).collect::<Vec<Json<&BTreeMap<_, _>>>>())
    .bind(each().map(|(_, _, variant)| variant.price.amount_minor).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| variant.price.currency.to_string()).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| variant.sale.map(|sale| sale.price.amount_minor)).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| variant.sale.and_then(|sale| sale.from)).collect::<Vec<_>>())
    .bind(each().map(|(_, _, variant)| variant.sale.and_then(|sale| sale.until)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, rows.len())
}
