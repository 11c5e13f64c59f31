use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{ProductId, ReviewId, Timestamp, UserId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use utoipa::ToSchema;
use uuid::Uuid;

/// A review as everybody sees it; who wrote it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as the API names it")]
pub(crate) struct Review {
    pub(crate) review_id: ReviewId,
    pub(crate) product_id: ProductId,
    #[schema(minimum = 1, maximum = 5)]
    pub(crate) rating: i16,
    pub(crate) title: String,
    pub(crate) body: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
}

impl Review {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.title.len() + self.body.len()
    }
}

/// `false` when the customer has reviewed the product before.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    review: &Review,
    customer: UserId,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO reviews (review_id, product_id, customer_id, rating, title, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (product_id, customer_id) DO NOTHING",
    )
    .bind(review.review_id.as_uuid())
    .bind(review.product_id.as_uuid())
    .bind(customer.as_uuid())
    .bind(review.rating)
    .bind(&review.title)
    .bind(&review.body)
    .bind(review.created_at)
    .execute(conn)
    .await
    .op("reviews.insert")?;
    Ok(done.rows_affected() == 1)
}

/// Newest first.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    product: ProductId,
    before: Option<ReviewId>,
    limit: i64,
) -> Result<Vec<Review>, StoreError> {
    const OP: &str = "reviews.page";
    let rows = sqlx::query(
        "SELECT review_id, product_id, rating, title, body, created_at FROM reviews
          WHERE product_id = $1 AND review_id < $2 ORDER BY review_id DESC LIMIT $3",
    )
    .bind(product.as_uuid())
    .bind(before.map_or(Uuid::max(), |id| id.as_uuid()))
    .bind(limit)
    .fetch_all(executor)
    .await
    .op(OP)?;
    rows.iter().map(review).collect::<Result<_, _>>().op(OP)
}

fn review(row: &PgRow) -> Result<Review, sqlx::Error> {
    Ok(Review {
        review_id: ReviewId(row.try_get("review_id")?),
        product_id: ProductId(row.try_get("product_id")?),
        rating: row.try_get("rating")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        created_at: row.try_get("created_at")?,
    })
}
