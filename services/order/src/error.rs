use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_failpoint::Fault;
use ferrocart_http_kit::{CallError, FieldError, Problem};
use ferrocart_pg_kit::StoreError;
use ferrocart_types::{Money, OrderId, SkuId};
use serde::Serialize;

use crate::domain::saga::Kind;
use crate::domain::{InvalidTransition, RefundError, Status};
use crate::saga::SagaError;

/// A price that is no longer what the buyer was shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PriceChange {
    pub(crate) sku_id: SkuId,
    pub(crate) cart_price: Money,
    pub(crate) current_price: Money,
}

/// Everything that a request to this service can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Saga(#[from] SagaError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    #[error("there is no order {0} for this caller")]
    OrderNotFound(OrderId),
    #[error("there is no such cart for this caller")]
    CartNotFound,
    #[error("there is no such hold for this caller")]
    HoldNotFound,
    #[error("the hold has run out")]
    HoldExpired,
    #[error("the hold was released")]
    HoldReleased,
    #[error("the hold has become order {0}")]
    HoldRedeemed(OrderId),
    #[error("the order is being paid, or was not placed to be paid later")]
    PaymentUnderWay,
    #[error("an order that is {0} does not wait for its payment")]
    NotToBePaid(Status),
    #[error("the cart is empty")]
    CartEmpty,
    #[error("the cart is being checked out already")]
    CartCheckedOut,
    #[error("{} prices have changed since they were put into the cart", .0.len())]
    PriceChanged(Vec<PriceChange>),
    #[error("{} items are not for sale", .0.len())]
    NotForSale(Vec<SkuId>),
    #[error("the cart cannot be added up: {0}")]
    Total(String),
    #[error("something else is under way for this order")]
    OrderBusy,
    #[error("a request with this Idempotency-Key is being worked on")]
    InProgress(Duration),
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    #[error("the refund was refused")]
    RefundRefused,
    #[error(transparent)]
    Refund(#[from] RefundError),
    #[error("the order was cancelled: the warehouse found no stock for it")]
    PickFailed,
    #[error("there is no such saga")]
    SagaNotFound,
    #[error("the saga has come to its end")]
    SagaEnded,
    #[error("a {0} cannot be called off, only gone through with")]
    SagaNotCancellable(Kind),
}

impl From<Fault> for ServiceError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}

impl From<sqlx::Error> for ServiceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ServiceError {
    fn problem(&self) -> Problem {
        let soon = Duration::from_secs(1);
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Store(error) | Self::Saga(SagaError::Store(error)) if error.is_unavailable() => {
                Problem::unavailable("the order database", soon)
            }
            Self::Store(_) | Self::Saga(_) => Problem::internal(),
            Self::Call(error) => error.to_problem(),
            Self::Transition(error) => Problem::conflict("INVALID_TRANSITION", error.to_string())
                .with("from", error.from)
                .with("to", error.to),
            Self::OrderNotFound(_) => Problem::not_found("ORDER_NOT_FOUND", "there is no such order"),
            Self::CartNotFound => {
                Problem::not_found("CART_NOT_FOUND", "there is no such cart").field("cart_id", self)
            }
            Self::HoldNotFound => {
                Problem::not_found("HOLD_NOT_FOUND", "there is no such hold").field("hold_id", self)
            }
            Self::HoldExpired => Problem::conflict("HOLD_EXPIRED", self.to_string()),
            Self::HoldReleased => Problem::conflict("HOLD_RELEASED", self.to_string()),
            Self::HoldRedeemed(order) => {
                Problem::conflict("HOLD_ALREADY_REDEEMED", self.to_string()).with("order_id", order)
            }
            Self::PaymentUnderWay | Self::NotToBePaid(_) => {
                Problem::conflict("ORDER_NOT_PAYABLE", self.to_string())
            }
            Self::CartEmpty => Problem::conflict("CART_EMPTY", "put something into the cart first"),
            Self::CartCheckedOut => Problem::conflict("CART_CHECKED_OUT", self.to_string()),
            Self::PriceChanged(changes) => {
                let errors = changes.iter().map(|change| FieldError {
                    field: "items.unit_price".to_owned(),
                    reason: format!(
                        "{}: {} in the cart, {} now",
                        change.sku_id, change.cart_price, change.current_price
                    ),
                });
                Problem::conflict(
                    "PRICE_CHANGED",
                    "prices have changed: look at the cart again and confirm it",
                )
                .fields(errors.collect())
                .with("changes", changes)
            }
            Self::NotForSale(skus) => {
                let errors = skus.iter().map(|sku| FieldError {
                    field: "items.sku_id".to_owned(),
                    reason: format!("{sku}: is not for sale"),
                });
                Problem::conflict("PRODUCT_UNAVAILABLE", self.to_string()).fields(errors.collect())
            }
            Self::Total(_) => Problem::conflict("CART_TOTAL_INVALID", self.to_string()),
            Self::OrderBusy => Problem::conflict("REQUEST_IN_PROGRESS", self.to_string()).retry_after(soon),
            Self::InProgress(wait) => {
                Problem::conflict("REQUEST_IN_PROGRESS", self.to_string()).retry_after(*wait)
            }
            Self::KeyReused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                self.to_string(),
            ),
            Self::Refund(error) => refund_problem(error),
            Self::RefundRefused => Problem::conflict("REFUND_REFUSED", self.to_string()),
            Self::SagaNotFound => {
                Problem::not_found("SAGA_NOT_FOUND", self.to_string()).field("saga_id", self)
            }
            Self::SagaEnded => Problem::conflict("SAGA_ENDED", self.to_string()),
            Self::SagaNotCancellable(_) => Problem::conflict("SAGA_NOT_CANCELLABLE", self.to_string()),
            Self::PickFailed => Problem::conflict("PICK_FAILED", self.to_string()),
        }
    }
}

fn refund_problem(error: &RefundError) -> Problem {
    let exceeds = || Problem::conflict("REFUND_EXCEEDS_CAPTURED", error.to_string());
    match error {
        RefundError::OtherCurrency => Problem::invalid_field("amount.currency", error),
        RefundError::MoreThanItems(_) => Problem::invalid_field("amount", error),
        RefundError::UnknownItem(index) => Problem::invalid_field(format!("items[{index}].sku_id"), error),
        RefundError::TooManyUnits { index, .. } => exceeds().field(format!("items[{index}].quantity"), error),
        RefundError::TooMuch { left } => exceeds().with("refundable", left),
        RefundError::Money(_) => Problem::internal(),
    }
}

impl ResponseError for ServiceError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        if problem.status().is_server_error() {
            tracing::error!(error = %self, problem.code = problem.code(), "a request failed");
        }
        problem.error_response()
    }
}
