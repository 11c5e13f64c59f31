use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use super::headers::PUBLIC;
use crate::app::{self, Catalog};
use crate::domain::{Category, NewCategory};
use crate::error::CatalogError;

#[derive(Serialize, ToSchema)]
#[schema(as = Categories)]
pub(crate) struct CategoryList<'a> {
    /// The whole tree, parents before their children.
    #[schema(value_type = Vec<Category>)]
    items: &'a [Category],
}

/// All categories
#[utoipa::path(get, path = "/v1/categories", operation_id = "list_categories", tag = "catalog",
    responses(
        (status = 200, body = CategoryList<'static>),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(_caller: Caller, catalog: web::Data<Catalog>) -> Result<HttpResponse, CatalogError> {
    let tree = catalog.categories.tree().await.map_err(|error| {
        tracing::error!(
            error = crate::error::cause_chain(&*error),
            "the categories could not be read"
        );
        CatalogError::Unavailable
    })?;
    Ok(HttpResponse::Ok()
        .insert_header(PUBLIC)
        .json(CategoryList { items: &tree.items }))
}

/// Add a category to the tree
#[utoipa::path(post, path = "/v1/categories", operation_id = "create_category", tag = "catalog", security(("bearer" = [])),
    request_body = NewCategory,
    responses(
        (status = 201, body = Category),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "CATEGORY_EXISTS, CATEGORY_LIMIT", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    caller: Caller,
    catalog: web::Data<Catalog>,
    body: Json<NewCategory>,
) -> Result<HttpResponse, CatalogError> {
    super::editor(&caller)?;
    let category = app::categories::create(catalog.get_ref().clone(), body.value).await?;
    Ok(HttpResponse::Created().json(category))
}
