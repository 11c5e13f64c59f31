//! A single review: changed by its author, voted for, moderated.

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{
    Caller, Json, Page, PageQuery, Problem, ProblemBody, Query, Role, encode_cursor, parse_id,
};
use ferrocart_types::{ProductId, ReviewId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::PRIVATE;
use super::reviews::ReviewBody;
use crate::app::Catalog;
use crate::app::reviews::{Change, change, vote};
use crate::domain::ReviewStatus;
use crate::error::CatalogError;
use crate::store;
use crate::store::reviews::Review;

const MODERATORS: &[Role] = &[Role::Support, Role::Admin];

type Ids = web::Path<(String, String)>;

fn ids(path: &Ids) -> Result<(ProductId, ReviewId), Problem> {
    Ok((parse_id(&path.0)?, parse_id(&path.1)?))
}

/// Change your review
///
/// One that was rejected waits for a moderator again.
#[utoipa::path(put, path = "/v1/products/{product_id}/reviews/{review_id}", operation_id = "put_review", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("review_id" = uuid::Uuid, Path)),
    request_body = ReviewBody,
    responses(
        (status = 200, body = Review),
        (status = 400, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, INVALID_REVIEW_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND, REVIEW_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn rewrite(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: Ids,
    body: Json<ReviewBody>,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(&[Role::Customer])?;
    let (product, review) = ids(&path)?;
    let rewrite = Change::Rewrite {
        by: caller.user()?.user_id,
        text: body.value.into(),
    };
    let review = change(catalog.get_ref().clone(), product, review, rewrite).await?;
    Ok(HttpResponse::Ok().json(review))
}

/// Remove your review, or, as a moderator, anybody's
#[utoipa::path(delete, path = "/v1/products/{product_id}/reviews/{review_id}", operation_id = "remove_review", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("review_id" = uuid::Uuid, Path)),
    responses(
        (status = 204),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND, REVIEW_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn remove(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: Ids,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(&[Role::Customer, Role::Support, Role::Admin])?;
    let (product, review) = ids(&path)?;
    let is_moderator = MODERATORS.iter().any(|role| caller.has_role(*role));
    let by = if is_moderator {
        None
    } else {
        Some(caller.user()?.user_id)
    };
    change(catalog.get_ref().clone(), product, review, Change::Remove { by }).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModerationBody {
    #[garde(skip)]
    status: ReviewStatus,
}

/// Publish a review, or reject it
#[utoipa::path(put, path = "/v1/products/{product_id}/reviews/{review_id}/status", operation_id = "moderate_review", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("review_id" = uuid::Uuid, Path)),
    request_body = ModerationBody,
    responses(
        (status = 200, body = Review),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND, REVIEW_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn moderate(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: Ids,
    body: Json<ModerationBody>,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(MODERATORS)?;
    let (product, review) = ids(&path)?;
    let moderation = Change::Moderate(body.value.status);
    let review = change(catalog.get_ref().clone(), product, review, moderation).await?;
    Ok(HttpResponse::Ok().json(review))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VotesBody {
    /// How many customers find it helpful.
    helpful_count: i32,
}

/// Say that a review is helpful
///
/// Saying it twice is saying it once. Not for your own.
#[utoipa::path(put, path = "/v1/products/{product_id}/reviews/{review_id}/helpful", operation_id = "find_review_helpful", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("review_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = VotesBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "REVIEW_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find_helpful(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: Ids,
) -> Result<HttpResponse, CatalogError> {
    voted(&caller, &catalog, &path, true).await
}

/// Take back that a review is helpful
#[utoipa::path(delete, path = "/v1/products/{product_id}/reviews/{review_id}/helpful", operation_id = "find_review_unhelpful", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("review_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = VotesBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "REVIEW_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find_unhelpful(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: Ids,
) -> Result<HttpResponse, CatalogError> {
    voted(&caller, &catalog, &path, false).await
}

async fn voted(
    caller: &Caller,
    catalog: &web::Data<Catalog>,
    path: &Ids,
    helpful: bool,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(&[Role::Customer])?;
    let customer = caller.user()?.user_id;
    let helpful_count = vote(catalog.get_ref().clone(), ids(path)?, customer, helpful).await?;
    Ok(HttpResponse::Ok().json(VotesBody { helpful_count }))
}

/// The reviews that wait for a moderator, oldest first
#[utoipa::path(get, path = "/v1/admin/reviews", operation_id = "list_pending_reviews", tag = "catalog", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, body = Page<Review>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn pending(
    caller: Caller,
    catalog: web::Data<Catalog>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(MODERATORS)?;
    let limit = query.0.limit()?;
    let after = query.0.after::<ReviewId>()?;
    let read = store::reviews::pending(&catalog.pool, after, i64::from(limit) + 1);
    let mut items = tokio::time::timeout(catalog.read_deadline, read)
        .await
        .map_err(|_| CatalogError::Unavailable)??;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|review| encode_cursor(&review.review_id));
    Ok(HttpResponse::Ok()
        .insert_header(PRIVATE)
        .json(Page { items, next_cursor }))
}
