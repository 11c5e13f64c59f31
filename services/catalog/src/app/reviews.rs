use std::sync::Arc;

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::{outbox, run_tx};
use ferrocart_types::{ProductId, ReviewId, UserId};
use sqlx::PgConnection;

use super::Catalog;
use super::edit::load_locked;
use crate::domain::{Stars, Status};
use crate::error::CatalogError;
use crate::store;
use crate::store::reviews::Review;

/// A review to write.
#[derive(Debug, Clone)]
pub(crate) struct NewReview {
    pub(crate) product_id: ProductId,
    pub(crate) customer_id: UserId,
    pub(crate) rating: Stars,
    pub(crate) title: String,
    pub(crate) body: String,
}

pub(crate) async fn create(catalog: Catalog, new: NewReview) -> Result<Review, CatalogError> {
    let new = Arc::new(new);
    detached("review.create", async move {
        let (review, version) = run_tx(&catalog.pool, "review.create", |conn| {
            let (catalog, new) = (catalog.clone(), Arc::clone(&new));
            Box::pin(async move { create_in(&catalog, conn, &new).await })
        })
        .await?;
        catalog.rated(&[(review.product_id, version)]).await;
        Ok(review)
    })
    .await
}

/// The review, the product's rating and the event that tells of it: one transaction. The product's row
/// is locked first, so that ratings add up and versions leave in their order.
async fn create_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    new: &NewReview,
) -> Result<(Review, i64), CatalogError> {
    let mut product = load_locked(conn, new.product_id)
        .await?
        .filter(|product| product.status == Status::Active)
        .ok_or(CatalogError::ProductNotFound)?;
    if !store::purchases::has(conn, new.customer_id, new.product_id).await? {
        return Err(CatalogError::ReviewNotAllowed);
    }
    let review = Review {
        review_id: ReviewId(catalog.ids.next()),
        product_id: new.product_id,
        rating: new.rating.0,
        title: new.title.clone(),
        body: new.body.clone(),
        created_at: catalog.clock.now(),
    };
    if !store::reviews::insert(conn, &review, new.customer_id).await? {
        return Err(CatalogError::ReviewExists);
    }
    store::products::add_rating(conn, new.product_id, new.rating.0).await?;
    product.rating.sum += i64::from(new.rating.0);
    product.rating.count += 1;
    product.version += 1;
    outbox::append(conn, &[catalog.event(&product)]).await?;
    Ok((review, product.version))
}
