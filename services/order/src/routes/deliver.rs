use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody, detached};

use super::orders::order_id;
use crate::app::{App, Command};
use crate::error::ServiceError;
use crate::views::OrderView;

/// Mark an order as delivered
///
/// By the warehouse.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/deliver", operation_id = "deliver_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The order is delivered, now or before", body = OrderView),
        (status = 202, description = "It is under way: look at Location", body = OrderView),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "INVALID_TRANSITION", body = ProblemBody),
    ),
)]
pub(crate) async fn deliver(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let (app, id) = (App::clone(&app), order_id(&path)?);
    let changed = detached("deliver", async move {
        app.command(&caller, id, Command::Deliver).await
    })
    .await?;
    super::changed(&changed)
}
