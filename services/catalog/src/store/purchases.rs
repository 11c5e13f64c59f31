use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{ProductId, Timestamp, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Remembers that the customer got these products. Buying one again changes nothing.
pub(crate) async fn add(
    conn: &mut PgConnection,
    customer: UserId,
    products: &[Uuid],
    delivered_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO delivered_purchases (customer_id, product_id, delivered_at)
         SELECT DISTINCT $1::uuid, product_id, $3::timestamptz FROM UNNEST($2::uuid[]) AS product_id
         ON CONFLICT DO NOTHING",
    )
    .bind(customer.as_uuid())
    .bind(products)
    .bind(delivered_at)
    .execute(conn)
    .await
    .op("purchases.add")?;
    Ok(())
}

pub(crate) async fn has(
    conn: &mut PgConnection,
    customer: UserId,
    product: ProductId,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM delivered_purchases WHERE customer_id = $1 AND product_id = $2)",
    )
    .bind(customer.as_uuid())
    .bind(product.as_uuid())
    .fetch_one(conn)
    .await
    .op("purchases.has")
}
