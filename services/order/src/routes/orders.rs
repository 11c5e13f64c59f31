#![expect(
    unused_qualifications,
    reason = "of the code that utoipa writes for query parameters"
)]

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Page, PageQuery, Problem, ProblemBody, Query, parse_id};
use ferrocart_types::{MoneyError, OrderId, Timestamp, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::{App, Shown};
use crate::domain::Status;
use crate::error::ServiceError;
use crate::saga::SagaError;
use crate::store::orders::Filter;
use crate::views::OrderView;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Whose orders; when it is left away the caller's own, and everybody's for support.
    customer_id: Option<String>,
    /// Only orders of this status.
    status: Option<Status>,
    /// Only orders that were placed at that time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    created_from: Option<Timestamp>,
    /// Only orders that were placed before that time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    created_to: Option<Timestamp>,
    /// How many items at most: 1 to 100, 20 by default.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List orders
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/orders", operation_id = "list_orders", tag = "orders", params(ListQuery),
    responses(
        (status = 200, description = "A page of orders", body = Page<OrderView>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
    ),
)]
pub(crate) async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: Query<ListQuery>,
) -> Result<HttpResponse, ServiceError> {
    let ListQuery {
        customer_id,
        status,
        created_from,
        created_to,
        limit,
        cursor,
    } = query.0;
    let page = PageQuery { limit, cursor };
    let customer: Option<UserId> = customer_id.as_deref().map(parse_id).transpose()?;
    let (limit, after) = (page.limit()?, page.after::<OrderId>()?);
    let filter = Filter {
        customer,
        status,
        created_from,
        created_to,
    };
    let (orders, next_cursor) = app.list_orders(&caller, filter, after, limit).await?;
    let items = orders
        .iter()
        .map(OrderView::of)
        .collect::<Result<Vec<_>, MoneyError>>()
        .map_err(SagaError::from)?;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

/// Read an order
///
/// While the order database is away, as it was last known.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}", operation_id = "read_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The order; with `Warning: 110` as it was last known", body = OrderView),
        (status = 400, description = "INVALID_ORDER_ID", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
    ),
)]
pub(crate) async fn read(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    match app.show_order(&caller, order_id(&path)?).await? {
        Shown::Now(order) => Ok(HttpResponse::Ok().json(OrderView::of(&order).map_err(SagaError::from)?)),
        Shown::LastKnown(body) => Ok(HttpResponse::Ok()
            .insert_header((header::WARNING, "110 - \"Response is Stale\""))
            .content_type("application/json")
            .body(body)),
    }
}

pub(super) fn order_id(path: &str) -> Result<OrderId, Problem> {
    parse_id(path)
}
