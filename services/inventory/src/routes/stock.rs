use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use actix_web::web::{Data, Path};
use ferrocart_http_kit::{Caller, Problem, ProblemBody, Query as UrlQuery};
use ferrocart_types::SkuId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::Counters;
use crate::error::ServiceError;
use crate::routes::{AppState, StockDto, StockListDto, parse_sku};

const SKUS_MAX: usize = 200;

/// One SKU's stock with its version as the ETag, for `If-Match`.
pub(super) fn respond(sku: SkuId, counters: Counters) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((ETAG, format!("\"{}\"", counters.version)))
        .json(StockDto::new(sku, counters))
}

/// The stock of one SKU
#[utoipa::path(get, path = "/v1/inventory/{sku_id}", tag = "inventory",
    params(("sku_id" = String, Path, description = "The SKU")),
    responses((status = 200, body = StockDto),
        (status = 400, body = ProblemBody, description = "INVALID_PRODUCT_ID"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_stock(
    _caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let sku = parse_sku("sku_id", &path)?;
    let stock = state.desk.read(&[sku]).await?;
    let counters = stock
        .get(&sku)
        .ok_or_else(|| ServiceError::ProductNotFound(vec![sku]))?;
    Ok(respond(sku, *counters))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Up to 200 SKUs, separated by commas.
    sku_ids: String,
}

/// The stock of several SKUs
///
/// In the order asked for; SKUs without stock are left out.
#[utoipa::path(get, path = "/v1/inventory", tag = "inventory", params(ListQuery),
    responses((status = 200, body = StockListDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn list_stock(
    _caller: Caller,
    state: Data<AppState>,
    query: UrlQuery<ListQuery>,
) -> Result<HttpResponse, ServiceError> {
    let names: Vec<&str> = query
        .0
        .sku_ids
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if !(1..=SKUS_MAX).contains(&names.len()) {
        return Err(Problem::invalid_field("sku_ids", format!("must name from 1 to {SKUS_MAX} SKUs")).into());
    }
    let skus: Vec<SkuId> = names
        .into_iter()
        .map(|name| parse_sku("sku_ids", name))
        .collect::<Result<_, _>>()?;
    let mut stock = state.desk.read(&skus).await?;
    // Taken out, so that a SKU asked for twice comes once.
    let items = skus
        .into_iter()
        .filter_map(|sku| stock.remove(&sku).map(|counters| StockDto::new(sku, counters)));
    Ok(HttpResponse::Ok().json(StockListDto {
        items: items.collect(),
    }))
}
