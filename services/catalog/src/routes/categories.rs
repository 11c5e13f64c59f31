use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, ProblemBody, Role, parse_id};
use serde::Serialize;
use utoipa::ToSchema;

use super::headers::{PRIVATE, PUBLIC};
use crate::app::{self, Catalog};
use crate::domain::{AttributeRule, Category, CategoryAttributes, NewCategory};
use crate::error::CatalogError;
use crate::store;
use crate::store::categories::Attributes;

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

/// What is said of the attributes of a category's products
#[derive(Serialize, ToSchema)]
pub(crate) struct AttributesOfCategory {
    /// Its own rules, at most 50.
    attributes: Vec<AttributeRule>,
    /// Whether its products may have attributes that are not named, here or further up. Absent: as further up.
    #[serde(skip_serializing_if = "Option::is_none")]
    additional: Option<bool>,
    /// All that its products are held to: its own rules, and those of the categories above that it does not replace.
    effective: CategoryAttributes,
}

impl From<Attributes> for AttributesOfCategory {
    fn from(attributes: Attributes) -> Self {
        Self {
            attributes: attributes.own.attributes,
            additional: attributes.own.additional,
            effective: attributes.rules.as_said(),
        }
    }
}

/// The attributes of a category's products
#[utoipa::path(get, path = "/v1/categories/{category_id}/attributes", operation_id = "read_category_attributes", tag = "catalog",
    security(("bearer" = [])), params(("category_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = AttributesOfCategory),
        (status = 400, description = "INVALID_CATEGORY_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "CATEGORY_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn attributes(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
) -> Result<HttpResponse, CatalogError> {
    super::editor(&caller)?;
    let attributes = store::categories::attributes(&catalog.pool, parse_id(&path)?).await?;
    answer(attributes)
}

/// Say which attributes a category's products have
///
/// And those of the categories below it. It holds for what is written from now on: products that are there keep
/// what they have until their attributes or category change, or until they are made active.
#[utoipa::path(put, path = "/v1/categories/{category_id}/attributes", operation_id = "put_category_attributes", tag = "catalog",
    security(("bearer" = [])), params(("category_id" = uuid::Uuid, Path)),
    request_body = CategoryAttributes,
    responses(
        (status = 200, body = AttributesOfCategory),
        (status = 400, description = "VALIDATION_ERROR, INVALID_CATEGORY_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "CATEGORY_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn put_attributes(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    body: Json<CategoryAttributes>,
) -> Result<HttpResponse, CatalogError> {
    // All merchants are held to it.
    caller.require_any(&[Role::Admin])?;
    let id = parse_id(&path)?;
    if !store::categories::set_attributes(&catalog.pool, id, &body.value).await? {
        return Err(CatalogError::CategoryNotFound);
    }
    answer(store::categories::attributes(&catalog.pool, id).await?)
}

fn answer(attributes: Option<Attributes>) -> Result<HttpResponse, CatalogError> {
    let attributes = attributes.ok_or(CatalogError::CategoryNotFound)?;
    Ok(HttpResponse::Ok()
        .insert_header(PRIVATE)
        .json(AttributesOfCategory::from(attributes)))
}
