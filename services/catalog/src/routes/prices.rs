use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, ProblemBody, Role};
use ferrocart_types::SkuId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Catalog;
use crate::error::CatalogError;
use crate::store;
use crate::store::prices::PricedSku;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricesBody {
    /// 1 to 200.
    #[garde(length(min = 1, max = 200))]
    sku_ids: Vec<SkuId>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Prices {
    /// Those that exist, in no order.
    items: Vec<PricedSku>,
}

/// The authoritative prices, for other services
///
/// Read from the database, never from a cache: what is charged is decided by them.
#[utoipa::path(post, path = "/internal/v1/prices", tag = "internal", security(("bearer" = [])),
    request_body = PricesBody,
    responses(
        (status = 200, body = Prices),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn prices(
    caller: Caller,
    catalog: web::Data<Catalog>,
    body: Json<PricesBody>,
) -> Result<HttpResponse, CatalogError> {
    caller.require_any(&[Role::Service])?;
    let sku_ids: Vec<Uuid> = body.value.sku_ids.iter().map(SkuId::as_uuid).collect();
    let read = store::prices::by_sku_ids(&catalog.prices, &sku_ids, catalog.clock.now());
    let items = tokio::time::timeout(catalog.read_deadline, read)
        .await
        .map_err(|_| CatalogError::Unavailable)??;
    Ok(HttpResponse::Ok().json(Prices { items }))
}
