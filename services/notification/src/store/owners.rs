//! Whose a product is, as catalog-events told.

use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{ProductId, SkuId, UserId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

/// A product as its newest event has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) product_id: ProductId,
    pub(crate) merchant_id: UserId,
    pub(crate) version: i64,
    pub(crate) skus: Vec<SkuId>,
}

/// Remembers products; what is older than what is known changes nothing.
pub(crate) async fn remember_products(conn: &mut PgConnection, products: &[Owned]) -> Result<(), StoreError> {
    // One row a product: a statement may not touch a row twice. In one order everywhere, against deadlocks.
    let mut newest: HashMap<ProductId, &Owned> = HashMap::new();
    for product in products {
        let known = newest.entry(product.product_id).or_insert(product);
        if product.version > known.version {
            *known = product;
        }
    }
    let mut newest: Vec<&Owned> = newest.into_values().collect();
    newest.sort_unstable_by_key(|product| product.product_id.as_uuid());
    sqlx::query(
        "INSERT INTO products (product_id, merchant_id, version)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[])
         ON CONFLICT (product_id) DO UPDATE SET merchant_id = excluded.merchant_id, version = excluded.version
         WHERE products.version < excluded.version",
    )
    .bind(
        newest
            .iter()
            .map(|product| product.product_id.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        newest
            .iter()
            .map(|product| product.merchant_id.as_uuid())
            .collect::<Vec<_>>(),
    )
    .bind(newest.iter().map(|product| product.version).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await
    .op("products.remember")?;
    let mut skus: Vec<(Uuid, Uuid)> = products
        .iter()
        .flat_map(|product| {
            product
                .skus
                .iter()
                .map(|sku| (sku.as_uuid(), product.product_id.as_uuid()))
        })
        .collect();
    skus.sort_unstable();
    skus.dedup_by_key(|(sku, _)| *sku);
    sqlx::query(
        "INSERT INTO skus (sku_id, product_id) SELECT * FROM UNNEST($1::uuid[], $2::uuid[])
         ON CONFLICT (sku_id) DO NOTHING",
    )
    .bind(skus.iter().map(|(sku, _)| *sku).collect::<Vec<_>>())
    .bind(skus.iter().map(|(_, product)| *product).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op("skus.remember")?;
    Ok(())
}

pub(crate) async fn owners_of_products(
    pool: &PgPool,
    products: &[ProductId],
) -> Result<HashMap<ProductId, UserId>, StoreError> {
    const OP: &str = "products.owners";
    let rows = sqlx::query("SELECT product_id, merchant_id FROM products WHERE product_id = ANY($1)")
        .bind(products.iter().map(ProductId::as_uuid).collect::<Vec<_>>())
        .fetch_all(pool)
        .await
        .op(OP)?;
    let pair = |row: &sqlx::postgres::PgRow| {
        let product = ProductId(row.try_get("product_id").op(OP)?);
        Ok((product, UserId(row.try_get("merchant_id").op(OP)?)))
    };
    rows.iter().map(pair).collect()
}

/// The product of each SKU, and whose it is.
pub(crate) async fn owners_of_skus(
    pool: &PgPool,
    skus: &[SkuId],
) -> Result<HashMap<SkuId, (ProductId, UserId)>, StoreError> {
    const OP: &str = "skus.owners";
    let rows = sqlx::query(
        "SELECT sku_id, product_id, merchant_id FROM skus JOIN products USING (product_id) WHERE sku_id = ANY($1)",
    )
    .bind(skus.iter().map(SkuId::as_uuid).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
    .op(OP)?;
    let entry = |row: &sqlx::postgres::PgRow| {
        let product = ProductId(row.try_get("product_id").op(OP)?);
        let merchant = UserId(row.try_get("merchant_id").op(OP)?);
        Ok((SkuId(row.try_get("sku_id").op(OP)?), (product, merchant)))
    };
    rows.iter().map(entry).collect()
}
