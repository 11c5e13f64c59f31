//! Changes to products.

use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use ferrocart_http_kit::{Caller, Json, ProblemBody, parse_id};

use super::editor;
use super::headers::{PRIVATE, etag, expected};
use crate::app::Catalog;
use crate::app::edit::{self, Edit};
use crate::domain::{Content, ContentPatch, Product, ProductView};
use crate::error::CatalogError;

fn answer(catalog: &Catalog, mut response: HttpResponseBuilder, product: &Product) -> HttpResponse {
    let now = catalog.clock.now();
    response
        .insert_header((ETAG, etag(product.version, product.price_changes_after(now))))
        .insert_header(PRIVATE)
        .json(product.view(now, &catalog.images))
}

/// Create a product
///
/// Its SKUs get their `sku_id`s here, and keep them for good.
#[utoipa::path(post, path = "/v1/products", operation_id = "create_product", tag = "catalog", security(("bearer" = [])),
    request_body = Content,
    responses(
        (status = 201, body = ProductView<'static>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "HANDLE_EXISTS, SKU_EXISTS", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    caller: Caller,
    catalog: web::Data<Catalog>,
    body: Json<Content>,
) -> Result<HttpResponse, CatalogError> {
    let editor = editor(&caller)?;
    let product = edit::create(catalog.get_ref().clone(), editor, body.value).await?;
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/v1/products/{}", product.id)));
    Ok(answer(&catalog, response, &product))
}

/// Replace a product
///
/// With `If-Match` only if it has that version still. A SKU that is left out is no longer sold.
#[utoipa::path(put, path = "/v1/products/{product_id}", operation_id = "put_product", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to replace")),
    request_body = Content,
    responses(
        (status = 200, body = ProductView<'static>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "HANDLE_EXISTS, SKU_EXISTS", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn replace(
    caller: Caller,
    request: HttpRequest,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    body: Json<Content>,
) -> Result<HttpResponse, CatalogError> {
    let edit = Edit::Replace(Box::new(body.value));
    let product = change(&caller, &request, &catalog, &path, edit).await?;
    Ok(answer(&catalog, HttpResponse::Ok(), &product))
}

/// Change parts of a product
///
/// A JSON merge patch: what is absent stays; within `attributes`, `null` removes a key.
#[utoipa::path(patch, path = "/v1/products/{product_id}", operation_id = "patch_product", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to change")),
    request_body = ContentPatch,
    responses(
        (status = 200, body = ProductView<'static>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "HANDLE_EXISTS, SKU_EXISTS", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn merge(
    caller: Caller,
    request: HttpRequest,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    body: Json<ContentPatch>,
) -> Result<HttpResponse, CatalogError> {
    let edit = Edit::Merge(Box::new(body.value));
    let product = change(&caller, &request, &catalog, &path, edit).await?;
    Ok(answer(&catalog, HttpResponse::Ok(), &product))
}

/// Archive a product
///
/// It is no longer shown nor sold. Doing it twice is doing it once.
#[utoipa::path(delete, path = "/v1/products/{product_id}", operation_id = "archive_product", tag = "catalog", security(("bearer" = [])),
    params(("product_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the version to archive")),
    responses(
        (status = 204),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn archive(
    caller: Caller,
    request: HttpRequest,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
) -> Result<HttpResponse, CatalogError> {
    change(&caller, &request, &catalog, &path, Edit::Archive).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change(
    caller: &Caller,
    request: &HttpRequest,
    catalog: &web::Data<Catalog>,
    path: &web::Path<String>,
    edit: Edit,
) -> Result<Product, CatalogError> {
    let editor = editor(caller)?;
    let id = parse_id(path)?;
    edit::change(catalog.get_ref().clone(), editor, id, edit, expected(request)).await
}
