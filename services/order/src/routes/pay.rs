use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, ProblemBody, detached};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::changed;
use super::checkout::token;
use super::orders::order_id;
use crate::app::App;
use crate::error::ServiceError;
use crate::views::OrderView;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pay {
    /// The payment provider's token of a payment method; never a card number.
    #[garde(custom(token))]
    #[schema(example = "pm_card_visa", min_length = 1, max_length = 200)]
    payment_method: String,
}

/// Pay an order
///
/// Of an order that was placed without a payment method; once. The order is CONFIRMED when it is paid, and
/// CANCELLED when the payment is declined.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/payment", operation_id = "pay_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path)), request_body = Pay,
    responses(
        (status = 200, description = "The order as it ended: CONFIRMED or CANCELLED", body = OrderView),
        (status = 202, description = "Under way: look at Location", body = OrderView, headers(("Location" = String))),
        (status = 400, description = "VALIDATION_ERROR, INVALID_ORDER_ID", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "ORDER_NOT_PAYABLE", body = ProblemBody),
    ),
)]
pub(crate) async fn pay(
    app: web::Data<App>,
    caller: Caller,
    path: web::Path<String>,
    body: Json<Pay>,
) -> Result<HttpResponse, ServiceError> {
    let id = order_id(&path)?;
    let (app, method) = (App::clone(&app), body.value.payment_method);
    let outcome = detached("pay", async move { app.pay(&caller, id, method).await }).await?;
    changed(&outcome)
}
