use std::sync::Arc;

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::{outbox, run_tx};
use ferrocart_types::{ProductId, ReviewId, UserId};
use sqlx::PgConnection;

use super::Catalog;
use super::edit::load_locked;
use crate::domain::{Product, ReviewStatus, Stars, Status};
use crate::error::CatalogError;
use crate::store;
use crate::store::reviews::Review;

/// A review to write.
#[derive(Debug, Clone)]
pub(crate) struct NewReview {
    pub(crate) product_id: ProductId,
    pub(crate) customer_id: UserId,
    pub(crate) text: ReviewText,
}

pub(crate) async fn create(catalog: Catalog, new: NewReview) -> Result<Review, CatalogError> {
    let new = Arc::new(new);
    detached("review.create", async move {
        let (review, version) = run_tx(&catalog.pool, "review.create", |conn| {
            let (catalog, new) = (catalog.clone(), Arc::clone(&new));
            Box::pin(async move { create_in(&catalog, conn, &new).await })
        })
        .await?;
        if let Some(version) = version {
            catalog.rated(&[(review.product_id, version)]).await;
        }
        Ok(review)
    })
    .await
}

/// What is done to a review that is there.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// By its author.
    Rewrite { by: UserId, text: ReviewText },
    /// By its author, or by a moderator, who is not named.
    Remove { by: Option<UserId> },
    /// By a moderator.
    Moderate(ReviewStatus),
}

/// What an author writes.
#[derive(Debug, Clone)]
pub(crate) struct ReviewText {
    pub(crate) rating: Stars,
    pub(crate) title: String,
    pub(crate) body: String,
}

/// The review as it is afterwards.
pub(crate) async fn change(
    catalog: Catalog,
    product: ProductId,
    review: ReviewId,
    change: Change,
) -> Result<Review, CatalogError> {
    let change = Arc::new(change);
    detached("review.change", async move {
        let (review, version) = run_tx(&catalog.pool, "review.change", |conn| {
            let (catalog, change) = (catalog.clone(), Arc::clone(&change));
            Box::pin(async move { change_in(&catalog, conn, (product, review), &change).await })
        })
        .await?;
        if let Some(version) = version {
            catalog.rated(&[(product, version)]).await;
        }
        Ok(review)
    })
    .await
}

async fn change_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    (product, review): (ProductId, ReviewId),
    change: &Change,
) -> Result<(Review, Option<i64>), CatalogError> {
    let product = load_locked(conn, product)
        .await?
        .ok_or(CatalogError::ProductNotFound)?;
    let (mut review, author) = store::reviews::find(conn, product.id, review)
        .await?
        .ok_or(CatalogError::ReviewNotFound)?;
    if let Change::Rewrite { by, .. } | Change::Remove { by: Some(by) } = change
        && *by != author
    {
        return Err(CatalogError::ReviewNotFound);
    }
    let was_shown = review.status == ReviewStatus::Published;
    match change {
        Change::Rewrite { text, .. } => {
            review.rating = text.rating.0;
            review.title.clone_from(&text.title);
            review.body.clone_from(&text.body);
            review.status = review.status.rewritten(catalog.reviews_need_approval);
            review.edited_at = Some(catalog.clock.now());
            store::reviews::update(conn, &review).await?;
        }
        Change::Moderate(status) => {
            review.status = *status;
            store::reviews::update(conn, &review).await?;
        }
        Change::Remove { .. } => store::reviews::delete(conn, review.review_id).await?,
    }
    // What nobody saw and nobody sees makes no new version.
    if !was_shown && review.status != ReviewStatus::Published {
        return Ok((review, None));
    }
    let version = rate(catalog, conn, product).await?;
    Ok((review, Some(version)))
}

/// Counts the ratings of a product that is locked, and tells of them; its new version.
async fn rate(catalog: &Catalog, conn: &mut PgConnection, mut product: Product) -> Result<i64, CatalogError> {
    product.rating = store::reviews::rating(conn, product.id).await?;
    product.version += 1;
    store::products::set_rating(conn, product.id, product.rating).await?;
    outbox::append(conn, &[catalog.event(&product)]).await?;
    Ok(product.version)
}

/// The customer finds the review helpful, or no longer; how many do.
pub(crate) async fn vote(
    catalog: Catalog,
    (product, review): (ProductId, ReviewId),
    customer: UserId,
    helpful: bool,
) -> Result<i32, CatalogError> {
    detached("review.vote", async move {
        run_tx(&catalog.pool, "review.vote", |conn| {
            let now = catalog.clock.now();
            Box::pin(async move {
                let (found, author) = store::reviews::find(conn, product, review)
                    .await?
                    .filter(|(review, _)| review.status == ReviewStatus::Published)
                    .ok_or(CatalogError::ReviewNotFound)?;
                if author == customer {
                    return Err(CatalogError::OwnReview);
                }
                Ok(store::reviews::vote(conn, found.review_id, (customer, now), helpful).await?)
            })
        })
        .await
    })
    .await
}

/// The review, the product's rating and the event that tells of it: one transaction. The product's row
/// is locked first, so that ratings add up and versions leave in their order.
async fn create_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    new: &NewReview,
) -> Result<(Review, Option<i64>), CatalogError> {
    let product = load_locked(conn, new.product_id)
        .await?
        .filter(|product| product.status == Status::Active)
        .ok_or(CatalogError::ProductNotFound)?;
    if !store::purchases::has(conn, new.customer_id, new.product_id).await? {
        return Err(CatalogError::ReviewNotAllowed);
    }
    let review = Review {
        review_id: ReviewId(catalog.ids.next()),
        product_id: new.product_id,
        rating: new.text.rating.0,
        title: new.text.title.clone(),
        body: new.text.body.clone(),
        status: ReviewStatus::first(catalog.reviews_need_approval),
        helpful_count: 0,
        created_at: catalog.clock.now(),
        edited_at: None,
    };
    if !store::reviews::insert(conn, &review, new.customer_id).await? {
        let review_id = store::reviews::id_of(conn, new.product_id, new.customer_id).await?;
        return Err(CatalogError::ReviewExists { review_id });
    }
    if review.status != ReviewStatus::Published {
        return Ok((review, None));
    }
    let version = rate(catalog, conn, product).await?;
    Ok((review, Some(version)))
}
