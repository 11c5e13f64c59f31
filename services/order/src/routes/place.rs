#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "garde hands its context to custom rules by reference"
)]

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, detached};
use ferrocart_types::Email;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::checkout::{respond, token};
use crate::app::{App, CheckoutRequest, HoldOrderBody};
use crate::domain::ShippingAddress;
use crate::error::ServiceError;
use crate::views::OrderView;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceOrder {
    /// What `POST /v1/holds` answered.
    #[garde(skip)]
    #[schema(format = "uuid")]
    hold_id: String,
    /// The payment provider's token of a payment method; never a card number. Left away, the order waits to be
    /// paid: at the provider, with `GET /v1/payments/{payment_id}/client-secret`, or by
    /// `PUT /v1/orders/{order_id}/payment`.
    #[garde(inner(custom(optional_token)))]
    #[schema(example = "pm_card_visa", min_length = 1, max_length = 200)]
    payment_method: Option<String>,
    #[garde(dive)]
    shipping_address: ShippingAddress,
    /// Needed when the account has none.
    #[garde(skip)]
    email: Option<Email>,
}

fn optional_token(text: &str, context: &()) -> garde::Result {
    token(text, context)
}

/// Order what is held
///
/// Makes one order of a hold, at the catalog's prices: the hold's units, then payment, then confirmation. One
/// order per Idempotency-Key and per hold, however often it is sent.
#[utoipa::path(
    post, path = "/v1/orders", operation_id = "place_order", tag = "orders",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; the same one with a retry")),
    request_body = PlaceOrder,
    responses(
        (status = 201, description = "The order is confirmed", body = OrderView,
         headers(("Location" = String), ("Idempotent-Replayed" = String, description = "true when this answers a repeated request"))),
        (status = 202, description = "To be paid, or not final yet: look at Location, or send the same request again", body = OrderView,
         headers(("Location" = String))),
        (status = 400, description = "VALIDATION_ERROR, INVALID_RESERVATION_ID, IDEMPOTENCY_KEY_MISSING", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 402, description = "PAYMENT_DECLINED, PAYMENT_FAILED, PAYMENT_TIMEOUT: the order is cancelled", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "HOLD_NOT_FOUND: or another buyer's", body = ProblemBody),
        (status = 409, description = "HOLD_EXPIRED, HOLD_RELEASED, HOLD_ALREADY_REDEEMED, PRODUCT_UNAVAILABLE, CHECKOUT_FAILED, ORDER_CANCELLED, REQUEST_IN_PROGRESS", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE: send the same request again", body = ProblemBody),
    ),
)]
pub(crate) async fn place(
    app: web::Data<App>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<PlaceOrder>,
) -> Result<HttpResponse, ServiceError> {
    let PlaceOrder {
        hold_id,
        payment_method,
        shipping_address,
        email,
    } = body.value;
    let parts = HoldOrderBody {
        hold_id: hold_id.parse().map_err(|_| {
            Problem::bad_request("INVALID_RESERVATION_ID", "hold_id: a UUID is expected")
                .field("hold_id", "a UUID is expected")
        })?,
        email,
        address: shipping_address,
        payment_method,
    };
    let request = CheckoutRequest::from_hold(&caller, key, parts, &body.raw)?;
    let app = App::clone(&app);
    let answer = detached("place-order", async move { app.checkout(request).await }).await?;
    respond(answer)
}
