use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody, detached};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::optional::OptionalJson;
use super::orders::order_id;
use crate::app::{App, Command};
use crate::domain::Shipment;
use crate::error::ServiceError;
use crate::views::OrderView;

#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ship {
    #[garde(length(chars, min = 1, max = 100))]
    tracking_number: Option<String>,
    #[garde(length(chars, min = 1, max = 100))]
    carrier: Option<String>,
}

/// Ship an order
///
/// By the warehouse, after the pick: the stock is deducted and the payment captured. Stock that is not there cancels the order.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/ship", operation_id = "ship_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)),
    request_body = Option<Ship>,
    responses(
        (status = 200, description = "The order is shipped, now or before", body = OrderView),
        (status = 202, description = "It is under way: look at Location", body = OrderView),
        (status = 400, description = "VALIDATION_ERROR, INVALID_ORDER_ID", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "INVALID_TRANSITION, PICK_FAILED, REQUEST_IN_PROGRESS", body = ProblemBody),
    ),
)]
pub(crate) async fn ship(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    body: OptionalJson<Ship>,
) -> Result<HttpResponse, ServiceError> {
    let Ship {
        tracking_number,
        carrier,
    } = body.value;
    let command = Command::Ship(Shipment {
        carrier,
        tracking_number,
    });
    let (app, id) = (App::clone(&app), order_id(&path)?);
    let changed = detached("ship", async move { app.command(&caller, id, command).await }).await?;
    super::changed(&changed)
}
