use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::SecondsFormat;
use ferrocart_http_kit::{Caller, Page, PageQuery, ProblemBody, Query, encode_cursor};
use ferrocart_types::OrderId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ServiceError;
use crate::routes::{AppState, STOCK_INSPECTORS, parse_sku, require_visible};
use crate::store::{self, PastChange};

/// One change of a SKU's counters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeDto {
    /// The version that the change led to.
    version: i64,
    /// INITIALIZED, RESERVED, CONFIRMED, RELEASED, EXPIRED, DEDUCTED, ADJUSTED, SET, DISCONTINUED or
    /// RECONCILED.
    #[schema(example = "ADJUSTED")]
    kind: String,
    on_hand_delta: i64,
    reserved_delta: i64,
    /// For which order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    order_id: Option<OrderId>,
    /// Who made it, such as `service:order` or `user:<id>`.
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// web, store or marketplace.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[schema(format = "date-time")]
    at: String,
}

impl From<PastChange> for ChangeDto {
    fn from(change: PastChange) -> Self {
        Self {
            version: change.version,
            kind: change.kind,
            on_hand_delta: change.on_hand_delta,
            reserved_delta: change.reserved_delta,
            order_id: change.order_id,
            actor: change.actor,
            reason: change.reason,
            channel: change.channel,
            at: change.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }
}

/// What became of a SKU's units
///
/// Every change, the newest first; the sums of the deltas are the counters.
#[utoipa::path(get, path = "/v1/inventory/{sku_id}/history", tag = "inventory",
    security(("bearer" = [])),
    params(("sku_id" = String, Path, description = "The SKU"), PageQuery),
    responses((status = 200, body = Page<ChangeDto>),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_history(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_INSPECTORS)?;
    let sku = parse_sku("sku_id", &path)?;
    let limit = query.0.limit()?;
    let before = query.0.after::<i64>()?.unwrap_or(i64::MAX);
    require_visible(&caller, &state, sku).await?;
    let mut conn = state.pool.acquire().await?;
    // One more tells whether there is a next page.
    let mut changes = store::history(&mut conn, sku, before, i64::from(limit) + 1).await?;
    // Every SKU has its first stock in the ledger.
    if changes.is_empty() && before == i64::MAX {
        return Err(ServiceError::ProductNotFound(vec![sku]));
    }
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = changes.len() > size;
    changes.truncate(size);
    let last = changes.last().filter(|_| is_more);
    let next_cursor = last.map(|change| encode_cursor(&change.version));
    Ok(HttpResponse::Ok().json(Page {
        items: changes.into_iter().map(ChangeDto::from).collect(),
        next_cursor,
    }))
}
