//! The answer to a checkout, stored with its end: a retry gets it byte by byte.

use actix_web::http::StatusCode;
use ferrocart_http_kit::{FieldError, Problem};
use ferrocart_pg_kit::idempotency::StoredResponse;

use super::SagaError;
use crate::domain::saga::End;
use crate::domain::{CancelReason, Order};
use crate::store::sagas::Refused;
use crate::views::OrderView;

pub(super) fn of_checkout(
    order: &Order,
    end: End,
    refused: Option<&Refused>,
) -> Result<StoredResponse, SagaError> {
    match end {
        End::Cancelled(reason) => {
            let problem = cancelled(order, reason, refused);
            let body = serde_json::to_vec(&problem.body())?;
            Ok(StoredResponse {
                status: problem.status().as_u16(),
                body,
            })
        }
        _ => Ok(StoredResponse {
            status: 201,
            body: serde_json::to_vec(&OrderView::of(order)?)?,
        }),
    }
}

/// The answer to a refund that was sent with an Idempotency-Key.
pub(super) fn of_refund(
    order: &Order,
    end: End,
    refused: Option<&Refused>,
) -> Result<StoredResponse, SagaError> {
    if end == End::Refunded {
        return Ok(StoredResponse {
            status: 200,
            body: serde_json::to_vec(&OrderView::of(order)?)?,
        });
    }
    let problem = refund_refused(refused).with("order_id", order.id);
    Ok(StoredResponse {
        status: problem.status().as_u16(),
        body: serde_json::to_vec(&problem.body())?,
    })
}

/// Payment knows better what can go back, such as after a refund at the provider's own desk.
fn refund_refused(refused: Option<&Refused>) -> Problem {
    match refused {
        Some(refused) if refused.code == "REFUND_EXCEEDS_CAPTURED" => {
            Problem::conflict("REFUND_EXCEEDS_CAPTURED", refused.detail.clone())
        }
        _ => Problem::conflict("REFUND_REFUSED", "the refund was refused"),
    }
}

fn cancelled(order: &Order, reason: CancelReason, refused: Option<&Refused>) -> Problem {
    let detail = refused.map(|refused| refused.detail.as_str());
    let problem = match reason {
        CancelReason::InsufficientStock => Problem::conflict(
            "INSUFFICIENT_STOCK",
            detail.unwrap_or("not all items are in stock"),
        )
        .fields(field_errors(refused)),
        CancelReason::PaymentDeclined => declined(
            "PAYMENT_DECLINED",
            detail.unwrap_or("the payment was declined"),
            refused,
        ),
        CancelReason::PaymentFailed => {
            declined("PAYMENT_FAILED", detail.unwrap_or("the payment failed"), refused)
        }
        CancelReason::PaymentTimeout => {
            declined("PAYMENT_TIMEOUT", "the payment was not completed in time", None)
        }
        CancelReason::ReservationExpired if order.cart_id.is_none() => {
            Problem::conflict("HOLD_EXPIRED", "the hold ran out before the payment was through")
        }
        CancelReason::ReservationExpired => Problem::conflict(
            "RESERVATION_EXPIRED",
            "the reservation ran out before the payment was through",
        ),
        CancelReason::CustomerRequest | CancelReason::SupportRequest => Problem::conflict(
            "ORDER_CANCELLED",
            "the order was cancelled while it was being checked out",
        ),
        CancelReason::CartCheckedOut => {
            Problem::conflict("CART_CHECKED_OUT", "another order was made of this cart")
        }
        CancelReason::DependencyUnavailable => Problem::conflict(
            "CHECKOUT_FAILED",
            "a service that the checkout needs gave no answer; nothing was charged",
        ),
        CancelReason::ReservationRefused | CancelReason::PickFailed => Problem::conflict(
            "CHECKOUT_FAILED",
            detail.unwrap_or("the items could not be reserved"),
        ),
    };
    problem.with("order_id", order.id).with("cancel_reason", reason)
}

fn declined(code: &'static str, detail: &str, refused: Option<&Refused>) -> Problem {
    let problem = Problem::new(StatusCode::PAYMENT_REQUIRED, code, detail);
    match refused.and_then(|refused| refused.decline_code.as_ref()) {
        Some(decline_code) => problem.with("decline_code", decline_code),
        None => problem,
    }
}

fn field_errors(refused: Option<&Refused>) -> Vec<FieldError> {
    refused
        .into_iter()
        .flat_map(|refused| &refused.errors)
        .map(|(field, reason)| FieldError {
            field: field.clone(),
            reason: reason.clone(),
        })
        .collect()
}
