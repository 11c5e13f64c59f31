use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{ProductId, ReviewId, Timestamp, UserId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{Rating, ReviewStatus};

/// A review; who wrote it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as the API names it")]
pub(crate) struct Review {
    pub(crate) review_id: ReviewId,
    pub(crate) product_id: ProductId,
    #[schema(minimum = 1, maximum = 5)]
    pub(crate) rating: i16,
    pub(crate) title: String,
    pub(crate) body: String,
    /// Everybody sees those that are `published`.
    pub(crate) status: ReviewStatus,
    /// How many customers found it helpful.
    pub(crate) helpful_count: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When its author last changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) edited_at: Option<Timestamp>,
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
        "INSERT INTO reviews (review_id, product_id, customer_id, rating, title, body, status, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (product_id, customer_id) DO NOTHING",
    )
    .bind(review.review_id.as_uuid())
    .bind(review.product_id.as_uuid())
    .bind(customer.as_uuid())
    .bind(review.rating)
    .bind(&review.title)
    .bind(&review.body)
    .bind(review.status.as_str())
    .bind(review.created_at)
    .execute(conn)
    .await
    .op("reviews.insert")?;
    Ok(done.rows_affected() == 1)
}

/// The review of this product, and who wrote it.
pub(crate) async fn find(
    conn: &mut PgConnection,
    product: ProductId,
    id: ReviewId,
) -> Result<Option<(Review, UserId)>, StoreError> {
    const OP: &str = "reviews.find";
    let row = sqlx::query("SELECT * FROM reviews WHERE review_id = $1 AND product_id = $2")
        .bind(id.as_uuid())
        .bind(product.as_uuid())
        .fetch_optional(conn)
        .await
        .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    let author = UserId(row.try_get("customer_id").op(OP)?);
    Ok(Some((review(&row)?, author)))
}

/// Which review of the product is the customer's.
pub(crate) async fn id_of(
    conn: &mut PgConnection,
    product: ProductId,
    customer: UserId,
) -> Result<Option<ReviewId>, StoreError> {
    let id: Option<Uuid> =
        sqlx::query_scalar("SELECT review_id FROM reviews WHERE product_id = $1 AND customer_id = $2")
            .bind(product.as_uuid())
            .bind(customer.as_uuid())
            .fetch_optional(conn)
            .await
            .op("reviews.id_of")?;
    Ok(id.map(ReviewId))
}

/// Writes a review whose product is locked.
pub(crate) async fn update(conn: &mut PgConnection, review: &Review) -> Result<(), StoreError> {
    const OP: &str = "reviews.update";
    let done = sqlx::query(
        "UPDATE reviews SET rating = $2, title = $3, body = $4, status = $5, edited_at = $6 WHERE review_id = $1",
    )
    .bind(review.review_id.as_uuid())
    .bind(review.rating)
    .bind(&review.title)
    .bind(&review.body)
    .bind(review.status.as_str())
    .bind(review.edited_at)
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, 1)
}

/// Removes a review whose product is locked, and the votes for it.
pub(crate) async fn delete(conn: &mut PgConnection, id: ReviewId) -> Result<(), StoreError> {
    const OP: &str = "reviews.delete";
    let done = sqlx::query("DELETE FROM reviews WHERE review_id = $1")
        .bind(id.as_uuid())
        .execute(conn)
        .await
        .op(OP)?;
    expect_rows(OP, &done, 1)
}

/// What the published reviews of a product, which is locked, come to.
pub(crate) async fn rating(conn: &mut PgConnection, product: ProductId) -> Result<Rating, StoreError> {
    const OP: &str = "reviews.rating";
    let counts: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT rating, count(*) FROM reviews WHERE product_id = $1 AND status = 'published' GROUP BY rating",
    )
    .bind(product.as_uuid())
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut rating = Rating::default();
    for (stars, count) in counts {
        let slot = usize::try_from(stars - 1)
            .ok()
            .and_then(|at| rating.0.get_mut(at));
        if let Some(slot) = slot {
            *slot = i32::try_from(count).unwrap_or(i32::MAX);
        }
    }
    Ok(rating)
}

/// Counts the customer's vote once, or takes it back; how many the review has then. None when there is no such
/// review, or none that is published.
pub(crate) async fn vote(
    conn: &mut PgConnection,
    review: ReviewId,
    (customer, now): (UserId, Timestamp),
    helpful: bool,
) -> Result<i32, StoreError> {
    let changed = if helpful {
        sqlx::query(
            "INSERT INTO review_votes (review_id, customer_id, voted_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(review.as_uuid())
        .bind(customer.as_uuid())
        .bind(now)
        .execute(&mut *conn)
        .await
        .op("votes.insert")?
    } else {
        sqlx::query("DELETE FROM review_votes WHERE review_id = $1 AND customer_id = $2")
            .bind(review.as_uuid())
            .bind(customer.as_uuid())
            .execute(&mut *conn)
            .await
            .op("votes.delete")?
    };
    let step = i32::from(changed.rows_affected() == 1) * if helpful { 1 } else { -1 };
    sqlx::query_scalar(
        "UPDATE reviews SET helpful_count = helpful_count + $2 WHERE review_id = $1 RETURNING helpful_count",
    )
    .bind(review.as_uuid())
    .bind(step)
    .fetch_one(conn)
    .await
    .op("votes.count")
}

/// The published ones, newest first.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    product: ProductId,
    before: Option<ReviewId>,
    limit: i64,
) -> Result<Vec<Review>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM reviews WHERE product_id = $1 AND review_id < $2 AND status = 'published'
          ORDER BY review_id DESC LIMIT $3",
    )
    .bind(product.as_uuid())
    .bind(before.map_or(Uuid::max(), |id| id.as_uuid()))
    .bind(limit)
    .fetch_all(executor)
    .await
    .op("reviews.page")?;
    rows.iter().map(review).collect()
}

/// Those that wait for a moderator, oldest first.
pub(crate) async fn pending(
    executor: impl PgExecutor<'_>,
    after: Option<ReviewId>,
    limit: i64,
) -> Result<Vec<Review>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM reviews WHERE status = 'pending' AND review_id > $1 ORDER BY review_id LIMIT $2",
    )
    .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
    .bind(limit)
    .fetch_all(executor)
    .await
    .op("reviews.pending")?;
    rows.iter().map(review).collect()
}

fn review(row: &PgRow) -> Result<Review, StoreError> {
    const OP: &str = "reviews.read";
    let id: Uuid = row.try_get("review_id").op(OP)?;
    let status: String = row.try_get("status").op(OP)?;
    Ok(Review {
        review_id: ReviewId(id),
        product_id: ProductId(row.try_get("product_id").op(OP)?),
        rating: row.try_get("rating").op(OP)?,
        title: row.try_get("title").op(OP)?,
        body: row.try_get("body").op(OP)?,
        status: ReviewStatus::parse(&status).ok_or_else(|| StoreError::Corrupt {
            table: "reviews",
            column: "status",
            row: id.to_string(),
            reason: format!("`{status}` is no status"),
        })?,
        helpful_count: row.try_get("helpful_count").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        edited_at: row.try_get("edited_at").op(OP)?,
    })
}
