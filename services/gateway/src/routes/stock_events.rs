use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::sse::{Streams, last_event_id};
use ferrocart_http_kit::{Problem, ProblemBody, parse_id};
use ferrocart_types::SkuId;

use crate::edge::{Admitted, Edge, Service};
use crate::sse::{Ear, Feed, StockChange};

/// Watch a SKU's stock
///
/// Server-Sent Events: first the present state, then the newest one after every change, at most four a second. Each event
/// has the name `stock`, the stock's version as its `id`, and as its data
/// `{"sku_id","on_hand","reserved","available","version"}`. With `Last-Event-ID` only a newer state is sent. The
/// stream ends when the SKU is discontinued.
#[utoipa::path(get, path = "/v1/inventory/{sku_id}/events", operation_id = "watch_stock", tag = "inventory",
    params(("sku_id" = SkuId, Path), ("Last-Event-ID" = Option<i64>, Header)),
    responses(
        (status = 200, description = "the stream", content_type = "text/event-stream", body = String),
        (status = 400, description = "INVALID_PRODUCT_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "TOO_MANY_STREAMS, RATE_LIMITED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn stream(
    request: HttpRequest,
    path: web::Path<String>,
    admitted: web::ReqData<Admitted>,
    edge: web::Data<Edge>,
    feed: web::Data<Feed<StockChange>>,
    streams: web::Data<Streams>,
) -> Result<HttpResponse, Problem> {
    // As the inventory service names it.
    let sku_id: SkuId = parse_id(&path).map_err(|_| {
        Problem::bad_request("INVALID_PRODUCT_ID", "sku_id: a UUID is expected")
            .field("sku_id", "a UUID is expected")
    })?;
    let slot = streams.slot(edge.watcher(&request, &admitted))?;
    let ear = Ear::open(sku_id.into(), &feed, (&streams, slot)).await;
    let stock = edge
        .get_as_caller(
            Service::Inventory,
            &format!("/v1/inventory/{sku_id}"),
            (&request, &admitted),
        )
        .await?;
    if stock.status() != StatusCode::OK {
        return Ok(stock.into_response());
    }
    let now: StockChange = stock.read()?;
    let seen = last_event_id(&request).unwrap_or(i64::MIN);
    let is_new = now.version > seen;
    let sequence = now.version.max(seen);
    let first = if is_new { vec![now] } else { Vec::new() };
    Ok(ear.respond(&first, sequence, false))
}
