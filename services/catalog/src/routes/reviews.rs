use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{
    Caller, Json, Page, PageQuery, Problem, ProblemBody, Query, Role, encode_cursor, parse_id,
};
use ferrocart_types::{ProductId, ReviewId};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::headers::public_list;
use super::read::may_see;
use crate::app::reviews::ReviewText;
use crate::app::{self, Catalog};
use crate::cache::Found;
use crate::domain::{Stars, block, line};
use crate::error::CatalogError;
use crate::store;
use crate::store::reviews::Review;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewBody {
    /// 1 to 5 stars.
    #[garde(dive)]
    #[schema(value_type = i16, minimum = 1, maximum = 5)]
    rating: Stars,
    #[garde(custom(line(200)))]
    #[schema(max_length = 200)]
    title: String,
    #[garde(custom(block(5_000)))]
    #[serde(default)]
    #[schema(max_length = 5_000)]
    body: String,
}

impl From<ReviewBody> for ReviewText {
    fn from(body: ReviewBody) -> Self {
        Self {
            rating: body.rating,
            title: body.title,
            body: body.body,
        }
    }
}

/// The published reviews of a product, newest first
#[utoipa::path(get, path = "/v1/products/{product_id}/reviews", operation_id = "list_reviews", tag = "catalog",
    params(("product_id" = uuid::Uuid, Path), PageQuery),
    responses(
        (status = 200, body = Page<Review>),
        (status = 400, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    caller: Caller,
    request: HttpRequest,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, CatalogError> {
    let id: ProductId = parse_id(&path)?;
    let limit = query.0.limit()?;
    let before = query.0.after::<ReviewId>()?;
    let product = match catalog.products.get(id).await?.found {
        Found::Product(product) if may_see(&caller, &product) => product,
        _ => return Err(CatalogError::ProductNotFound),
    };
    let read = async { store::reviews::page(&catalog.pool, id, before, i64::from(limit) + 1).await };
    let page = catalog
        .review_pages
        .get((id, product.version, before, limit), read)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = page.rows.len() > limit;
    let items = page.rows.get(..limit).unwrap_or(&page.rows).to_vec();
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|review| encode_cursor(&review.review_id));
    let body = serde_json::to_vec(&Page { items, next_cursor }).map_err(|error| {
        tracing::error!(%error, "reviews could not be written");
        Problem::internal()
    })?;
    // No price is on them.
    let prices = (None, catalog.clock.now());
    Ok(public_list(&request, body.into(), page.stale_since, prices))
}

/// Review a product
///
/// For customers to whom an order with it was delivered; once. Where reviews need approval it is `pending`
/// at first, and not shown.
#[utoipa::path(post, path = "/v1/products/{product_id}/reviews", operation_id = "create_review", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path)),
    request_body = ReviewBody,
    responses(
        (status = 201, body = Review),
        (status = 400, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "REVIEW_NOT_ALLOWED, FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "REVIEW_EXISTS", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    body: Json<ReviewBody>,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(&[Role::Customer])?;
    let new = app::reviews::NewReview {
        product_id: parse_id(&path)?,
        customer_id: caller.user()?.user_id,
        text: body.value.into(),
    };
    let review = app::reviews::create(catalog.get_ref().clone(), new).await?;
    Ok(HttpResponse::Created().json(review))
}
