use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{CategoryId, ProductId};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Which products a page of the list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Any of these; all without.
    pub(crate) categories: Option<Vec<CategoryId>>,
    pub(crate) brand: Option<String>,
    /// Only products older than this one.
    pub(crate) before: Option<ProductId>,
}

/// The ids of active products, newest first. The work is bounded by the number of categories times
/// `limit`, whatever the number of products: each category gives its newest from an index.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<ProductId>, StoreError> {
    // Above every UUIDv7.
    let before = filter.before.map_or(Uuid::max(), |id| id.as_uuid());
    let categories: Vec<Uuid> = filter
        .categories
        .iter()
        .flatten()
        .map(CategoryId::as_uuid)
        .collect();
    let query = match (&filter.categories, &filter.brand) {
        (None, None) => sqlx::query_scalar(
            "SELECT product_id FROM products WHERE status = 'active' AND product_id < $1
              ORDER BY product_id DESC LIMIT $2",
        )
        .bind(before)
        .bind(limit),
        (Some(_), None) => sqlx::query_scalar(
            "SELECT p.product_id FROM UNNEST($3::uuid[]) AS c (id) CROSS JOIN LATERAL
                (SELECT product_id FROM products
                  WHERE status = 'active' AND category_id = c.id AND product_id < $1
                  ORDER BY product_id DESC LIMIT $2) p
              ORDER BY p.product_id DESC LIMIT $2",
        )
        .bind(before)
        .bind(limit)
        .bind(categories),
        (None, Some(brand)) => sqlx::query_scalar(
            "SELECT product_id FROM products WHERE status = 'active' AND brand = $3 AND product_id < $1
              ORDER BY product_id DESC LIMIT $2",
        )
        .bind(before)
        .bind(limit)
        .bind(brand),
        (Some(_), Some(brand)) => sqlx::query_scalar(
            "SELECT p.product_id FROM UNNEST($4::uuid[]) AS c (id) CROSS JOIN LATERAL
                (SELECT product_id FROM products
                  WHERE status = 'active' AND brand = $3 AND category_id = c.id AND product_id < $1
                  ORDER BY product_id DESC LIMIT $2) p
              ORDER BY p.product_id DESC LIMIT $2",
        )
        .bind(before)
        .bind(limit)
        .bind(brand)
        .bind(categories),
    };
    let ids: Vec<Uuid> = query.fetch_all(executor).await.op("browse.page")?;
    Ok(ids.into_iter().map(ProductId).collect())
}
