use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody, detached};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::optional::OptionalJson;
use super::orders::order_id;
use crate::app::{App, Command};
use crate::error::ServiceError;
use crate::views::OrderView;

#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refund {
    /// For the order's history.
    #[garde(length(chars, min = 1, max = 200))]
    reason: Option<String>,
}

/// Refund an order
///
/// In full, by support, once it is delivered.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/refund", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)),
    request_body = Option<Refund>,
    responses(
        (status = 200, description = "The order is refunded, now or before", body = OrderView),
        (status = 202, description = "It is under way: look at Location", body = OrderView),
        (status = 400, description = "VALIDATION_ERROR, INVALID_ORDER_ID", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "INVALID_TRANSITION, REFUND_REFUSED, REQUEST_IN_PROGRESS", body = ProblemBody),
    ),
)]
pub(crate) async fn refund(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    body: OptionalJson<Refund>,
) -> Result<HttpResponse, ServiceError> {
    let command = Command::Refund {
        reason: body.0.reason,
    };
    let (app, id) = (App::clone(&app), order_id(&path)?);
    let changed = detached("refund", async move { app.command(&caller, id, command).await }).await?;
    super::changed(&changed)
}
