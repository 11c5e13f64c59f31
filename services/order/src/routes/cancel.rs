use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody, detached};

use super::orders::order_id;
use crate::app::{App, Command};
use crate::error::ServiceError;
use crate::views::OrderView;

/// Cancel an order
///
/// By its owner or by support, until it is shipped. The payment is voided and the stock released.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/cancel", operation_id = "cancel_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The order is cancelled, now or before", body = OrderView),
        (status = 202, description = "It is under way: look at Location", body = OrderView),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "INVALID_TRANSITION, REQUEST_IN_PROGRESS", body = ProblemBody),
    ),
)]
pub(crate) async fn cancel(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let (app, id) = (App::clone(&app), order_id(&path)?);
    let changed = detached("cancel", async move {
        app.command(&caller, id, Command::Cancel).await
    })
    .await?;
    super::changed(&changed)
}
