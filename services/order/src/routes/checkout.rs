#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "garde hands its context to custom rules by reference"
)]

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, ProblemBody, detached};
use ferrocart_pg_kit::idempotency::StoredResponse;
use ferrocart_types::Email;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::{App, CheckoutAnswer, CheckoutBody, CheckoutRequest};
use crate::domain::ShippingAddress;
use crate::error::ServiceError;
use crate::saga::SagaError;
use crate::views::OrderView;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkout {
    /// The caller's own cart when it is left away.
    #[garde(length(bytes, max = 100))]
    cart_id: Option<String>,
    /// The payment provider's token of a payment method; never a card number.
    #[garde(custom(token))]
    #[schema(example = "pm_card_visa", min_length = 1, max_length = 200)]
    payment_method: String,
    #[garde(dive)]
    shipping_address: ShippingAddress,
    /// Needed of guests; a customer's comes from the account.
    #[garde(skip)]
    email: Option<Email>,
}

/// A card number must never get into the system, not even by a client's mistake.
pub(super) fn token(text: &str, (): &()) -> garde::Result {
    let shaped = (1..=200).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if shaped {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be a token of the payment provider, such as pm_card_visa",
    ))
}

/// Check out
///
/// Makes an order of the caller's cart: reserves the stock, authorizes the payment, confirms. One order
/// per Idempotency-Key, however often it is sent.
#[utoipa::path(
    post, path = "/v1/checkout", tag = "orders",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; the same one with a retry")),
    request_body = Checkout,
    responses(
        (status = 201, description = "The order is confirmed", body = OrderView,
         headers(("Location" = String), ("Idempotent-Replayed" = String, description = "true when this answers a repeated request"))),
        (status = 202, description = "Not final yet: look at Location, or send the same request again", body = OrderView,
         headers(("Location" = String))),
        (status = 400, description = "VALIDATION_ERROR, IDEMPOTENCY_KEY_MISSING", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 402, description = "PAYMENT_DECLINED, PAYMENT_FAILED, PAYMENT_TIMEOUT: the order is cancelled", body = ProblemBody),
        (status = 404, description = "CART_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "CART_EMPTY, CART_CHECKED_OUT, PRICE_CHANGED, PRODUCT_UNAVAILABLE, INSUFFICIENT_STOCK, RESERVATION_EXPIRED, CHECKOUT_FAILED, ORDER_CANCELLED, REQUEST_IN_PROGRESS", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE: send the same request again", body = ProblemBody),
    ),
)]
pub(crate) async fn checkout(
    app: web::Data<App>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<Checkout>,
) -> Result<HttpResponse, ServiceError> {
    let Checkout {
        cart_id,
        payment_method,
        shipping_address,
        email,
    } = body.value;
    let parts = CheckoutBody {
        cart_id,
        email,
        address: shipping_address,
        payment_method,
    };
    let request = CheckoutRequest::new(&caller, key, parts, &body.raw)?;
    let app = App::clone(&app);
    let answer = detached("checkout", async move { app.checkout(request).await }).await?;
    respond(answer)
}

/// An answer as it stands under its key.
pub(super) fn stored(response: &StoredResponse, replayed: bool) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    answer.content_type(if status.is_success() {
        "application/json"
    } else {
        "application/problem+json"
    });
    if replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    answer.body(response.body.clone())
}

pub(super) fn respond(answer: CheckoutAnswer) -> Result<HttpResponse, ServiceError> {
    match answer {
        CheckoutAnswer::Final {
            order_id,
            response,
            replayed,
        } => {
            let mut answer = stored(&response, replayed);
            if answer.status().is_success() {
                let location = format!("/v1/orders/{order_id}").parse();
                if let Ok(location) = location {
                    answer.headers_mut().insert(header::LOCATION, location);
                }
            }
            Ok(answer)
        }
        CheckoutAnswer::Accepted(order) => {
            let mut answer = HttpResponse::Accepted();
            answer.insert_header((header::LOCATION, format!("/v1/orders/{}", order.id)));
            answer.insert_header((header::RETRY_AFTER, "1"));
            Ok(answer.json(OrderView::of(&order).map_err(SagaError::from)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_not_taken() {
        token("pm_card_visa", &()).unwrap();
        for bad in [
            "",
            "4242424242424242",
            "4242 4242",
            "pm card",
            "pm_card\n",
            &"x".repeat(201),
        ] {
            assert!(token(bad, &()).is_err(), "{bad:?} was taken");
        }
    }
}
