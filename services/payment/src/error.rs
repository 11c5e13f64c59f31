//! What can go wrong, and what the caller is told of it.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_failpoint::Fault;
use ferrocart_http_kit::Problem;
use ferrocart_pg_kit::StoreError;
use ferrocart_types::PaymentId;

use crate::domain::{Divergence, Status};
use crate::provider::{InvalidWebhook, ProviderError};

#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no such payment")]
    NotFound,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the order has a payment on other terms")]
    OtherTerms,
    #[error("the payment was declined: {code}")]
    Declined { payment_id: PaymentId, code: String },
    /// The provider did not take what was asked.
    #[error("the provider refused: {code}")]
    Refused { code: String },
    #[error("a payment that is {from} cannot be {action}")]
    InvalidTransition { from: Status, action: &'static str },
    #[error("the payment is {0}, and does not wait for its customer")]
    NotConfirmable(Status),
    #[error("{asked_minor} is not between 1 and the {at_most_minor} that can be {action}")]
    OutOfBounds {
        action: &'static str,
        asked_minor: i64,
        at_most_minor: i64,
    },
    #[error("the amount is not in the payment's currency")]
    OtherCurrency,
    #[error("the provider's answer is not known yet")]
    OutcomeUnknown,
    #[error("the provider is not available")]
    ProviderUnavailable { retry_after: Duration },
    #[error("another operation of this payment is under way")]
    Busy,
    #[error("a reconciliation is under way")]
    Reconciling,
    #[error(transparent)]
    Diverged(#[from] Divergence),
    #[error(transparent)]
    Webhook(#[from] InvalidWebhook),
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl From<Fault> for PaymentError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}

impl From<sqlx::Error> for PaymentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<ProviderError> for PaymentError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::NotSent { retry_after, .. } => Self::ProviderUnavailable { retry_after },
            ProviderError::Unknown { .. } | ProviderError::KeyConflict => Self::OutcomeUnknown,
            ProviderError::Refused { code } => Self::Refused { code },
        }
    }
}

impl PaymentError {
    fn problem(&self) -> Problem {
        match self {
            Self::Store(error) if error.is_unavailable() => {
                tracing::error!(error = %error, "the database is not available");
                Problem::unavailable("the payment database", Duration::from_secs(1))
            }
            Self::Store(error) => {
                tracing::error!(error = %error, "the store failed");
                Problem::internal()
            }
            Self::Diverged(error) => {
                tracing::error!(error = %error, "the provider contradicts our records");
                Problem::internal()
            }
            Self::NotFound => Problem::not_found("PAYMENT_NOT_FOUND", self.to_string()),
            Self::KeyReused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                self.to_string(),
            ),
            Self::OtherTerms => Problem::conflict("PAYMENT_EXISTS", self.to_string()),
            Self::Declined { payment_id, code } => Problem::new(
                StatusCode::PAYMENT_REQUIRED,
                "PAYMENT_DECLINED",
                "the payment was declined; another payment method may be taken",
            )
            .with("decline_code", code)
            .with("payment_id", payment_id),
            Self::Refused { code } if code == "invalid_payment_method" => Problem::bad_request(
                "INVALID_PAYMENT_METHOD",
                "the provider does not know this payment method",
            )
            .field("payment_method", "the provider does not know it"),
            Self::Refused { code } => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "PAYMENT_REFUSED",
                "the provider does not take this request",
            )
            .with("provider_code", code),
            Self::InvalidTransition { from, .. } => {
                Problem::conflict("INVALID_TRANSITION", self.to_string()).with("payment_status", from)
            }
            Self::NotConfirmable(status) => {
                Problem::conflict("PAYMENT_NOT_CONFIRMABLE", self.to_string()).with("payment_status", status)
            }
            Self::OutOfBounds { action, .. } if *action == "refunded" => {
                Problem::conflict("REFUND_EXCEEDS_CAPTURED", self.to_string()).field("amount", self)
            }
            Self::OutOfBounds { .. } | Self::OtherCurrency => Problem::invalid_field("amount", self),
            Self::OutcomeUnknown => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "PAYMENT_OUTCOME_UNKNOWN",
                "the provider gave no answer in time; the same request with the same key asks for it again",
            )
            .retry_after(Duration::from_secs(1)),
            Self::ProviderUnavailable { retry_after } => {
                Problem::unavailable("the payment provider", *retry_after)
            }
            Self::Busy => Problem::unavailable(
                "the payment, for which something else is under way,",
                Duration::from_secs(1),
            ),
            Self::Reconciling => Problem::conflict("RECONCILIATION_RUNNING", self.to_string())
                .retry_after(Duration::from_secs(5)),
            Self::Webhook(error) => {
                tracing::warn!(error = %error, "a webhook was refused");
                Problem::bad_request("INVALID_WEBHOOK", error.to_string())
            }
            Self::Problem(problem) => problem.clone(),
        }
    }
}

impl ResponseError for PaymentError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        self.problem().error_response()
    }
}
