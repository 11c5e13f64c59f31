use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_http_kit::{CallError, FieldError, Problem};
use ferrocart_pg_kit::StoreError;
use ferrocart_types::SkuId;

use crate::batcher::BatchError;
use crate::domain::{Excess, InvalidTransition, OutOfBounds, Refusal, Shortage};

/// When a client should come back after a 503.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Everything that a request can be refused for.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("no stock is kept for {}", list(.0))]
    ProductNotFound(Vec<SkuId>),
    #[error("the catalog does not know {}", list(.0))]
    NotListed(Vec<SkuId>),
    #[error("not yours: {}", list(.0))]
    NotYours(Vec<SkuId>),
    #[error(transparent)]
    Catalog(#[from] CallError),
    #[error("this SKU has stock: set or adjust it")]
    StockExists,
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    #[error("the stock is at version {actual}, not {expected}: read it again")]
    VersionChanged { expected: i64, actual: i64 },
    #[error("there is no such flash sale")]
    SaleNotFound,
    #[error("the SKU has a flash sale that is not over")]
    SaleExists,
    #[error(transparent)]
    SaleState(#[from] InvalidTransition),
    #[error("no flash sale of {0} is on")]
    NoSale(SkuId),
    #[error("the flash sale has not started: {}", list(.0))]
    SaleNotStarted(Vec<SkuId>),
    #[error("in a flash sale the buyer must be known: {}", list(.0))]
    BuyerUnknown(Vec<SkuId>),
    #[error("a buyer may not have so many in this flash sale")]
    LimitExceeded(Vec<Excess>),
    #[error("{0} can be bought now: there is nothing to wait for")]
    InStock(i64),
    #[error("{0} units are waited for already, and that is the most")]
    WaitlistFull(i64),
    #[error("there is no such ticket")]
    TicketNotFound,
    #[error("you have left the waitlist")]
    LeftWaitlist,
    #[error("the flash sale ended before your turn came")]
    SaleEnded,
    #[error("the ticket expired")]
    TicketExpired,
    #[error("not all items are in stock")]
    InsufficientStock(Vec<Shortage>),
    #[error("there is no such reservation")]
    ReservationNotFound,
    #[error("there is no such hold")]
    HoldNotFound,
    #[error("the hold has run out")]
    HoldExpired,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the order has a reservation for other units")]
    OrderReused,
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is being worked on")]
    InProgress(Duration),
}

impl From<sqlx::Error> for ServiceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(StoreError::from(error))
    }
}

/// The most SKUs that a text names.
const LISTED_MAX: usize = 10;

fn list(skus: &[SkuId]) -> String {
    let names: Vec<String> = skus.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let names = names.join(", ");
    match skus.len().saturating_sub(LISTED_MAX) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

impl ServiceError {
    /// Names the fields of the request in which the SKUs stand that are at fault, if that is what it is.
    #[must_use]
    pub fn naming<F: Into<String>>(self, fields: impl Iterator<Item = (F, SkuId)>) -> Self {
        let (skus, reason) = match &self {
            Self::NotListed(skus) => (skus, "the catalog does not know it"),
            Self::NotYours(skus) => (skus, "it is another merchant's"),
            _ => return self,
        };
        let errors = fields
            .filter(|(_, sku)| skus.contains(sku))
            .map(|(field, sku)| FieldError {
                field: field.into(),
                reason: format!("{sku}: {reason}"),
            });
        let errors = errors.collect();
        self.problem().fields(errors).into()
    }

    /// The code of a conflict with a flash sale.
    const fn sale_code(&self) -> &'static str {
        match self {
            Self::SaleExists => "SALE_EXISTS",
            Self::SaleNotStarted(_) => "SALE_NOT_STARTED",
            Self::LimitExceeded(_) => "PURCHASE_LIMIT_EXCEEDED",
            Self::InStock(_) => "IN_STOCK",
            Self::WaitlistFull(_) => "WAITLIST_FULL",
            Self::LeftWaitlist => "TICKET_CANCELLED",
            Self::TicketExpired => "TICKET_EXPIRED",
            Self::NoSale(_) => "NO_SALE",
            Self::SaleEnded => "SALE_ENDED",
            _ => "INVALID_TRANSITION",
        }
    }

    /// The refusal as the client reads it. A reserve request names its fields itself, see
    /// `routes::reserve`.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Store(error) => store_problem(error),
            Self::Batch(error) => batch_problem(*error),
            Self::ProductNotFound(_) | Self::NotListed(_) => {
                Problem::not_found("PRODUCT_NOT_FOUND", self.to_string())
            }
            Self::NotYours(_) => Problem::forbidden(self.to_string()),
            Self::Catalog(error) => {
                tracing::warn!(%error, "the catalog did not say whose SKUs these are");
                // Whatever it is, the same request may succeed when the catalog is well.
                Problem::unavailable("the catalog", RETRY_AFTER)
            }
            Self::StockExists | Self::OutOfBounds(_) | Self::Refused(Refusal::NotConfirmed) => {
                Problem::conflict("INVALID_STOCK_STATE", self.to_string())
            }
            Self::VersionChanged { actual, .. } => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "PRECONDITION_FAILED",
                self.to_string(),
            )
            .with("version", actual),
            Self::SaleNotFound => Problem::not_found("SALE_NOT_FOUND", self.to_string()),
            Self::TicketNotFound => Problem::not_found("TICKET_NOT_FOUND", self.to_string()),
            Self::BuyerUnknown(_) => Problem::bad_request("BUYER_REQUIRED", self.to_string()),
            Self::SaleExists
            | Self::SaleState(_)
            | Self::NoSale(_)
            | Self::SaleNotStarted(_)
            | Self::LimitExceeded(_)
            | Self::InStock(_)
            | Self::WaitlistFull(_)
            | Self::LeftWaitlist
            | Self::SaleEnded
            | Self::TicketExpired => Problem::conflict(self.sale_code(), self.to_string()),
            Self::InsufficientStock(_) => Problem::conflict("INSUFFICIENT_STOCK", self.to_string()),
            Self::ReservationNotFound => Problem::not_found("RESERVATION_NOT_FOUND", self.to_string()),
            Self::HoldNotFound => Problem::not_found("HOLD_NOT_FOUND", self.to_string()),
            Self::HoldExpired => Problem::conflict("HOLD_EXPIRED", self.to_string()),
            Self::Refused(Refusal::Redeemed) => Problem::conflict("HOLD_ALREADY_REDEEMED", self.to_string()),
            Self::Refused(Refusal::AlreadyReleased(reason)) => {
                Problem::conflict("RESERVATION_ALREADY_RELEASED", self.to_string())
                    .with("release_reason", reason.as_str())
            }
            Self::Refused(Refusal::AlreadyDeducted) => {
                Problem::conflict("RESERVATION_ALREADY_DEDUCTED", self.to_string())
            }
            Self::OrderReused | Self::KeyReused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                self.to_string(),
            ),
            Self::InProgress(wait) => {
                Problem::conflict("REQUEST_IN_PROGRESS", self.to_string()).retry_after(*wait)
            }
        }
    }
}

fn store_problem(error: &StoreError) -> Problem {
    if error.is_unavailable() {
        tracing::warn!(%error, "the database is not available");
        return Problem::unavailable("the database", RETRY_AFTER);
    }
    tracing::error!(%error, "a request failed");
    Problem::internal()
}

/// The lanes log what went wrong with a batch; here it is only told.
fn batch_problem(error: BatchError) -> Problem {
    match error {
        BatchError::Overloaded => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "OVERLOADED",
            "too many requests are waiting for stock",
        )
        .retry_after(RETRY_AFTER),
        BatchError::Unavailable => Problem::unavailable("the stock", RETRY_AFTER),
        BatchError::Failed => Problem::internal(),
    }
}

impl ResponseError for ServiceError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        self.problem().error_response()
    }
}
