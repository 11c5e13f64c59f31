use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_failpoint::Fault;
use ferrocart_http_kit::Problem;

use crate::clients::LookUpError;
use crate::store::ChangeError;

/// What a request can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CartError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    LookUp(#[from] LookUpError),
    #[error("the cart's total does not fit in 64 bits")]
    Total,
}

impl From<Fault> for CartError {
    fn from(fault: Fault) -> Self {
        tracing::error!(%fault, "a cart's change");
        Problem::unavailable("the carts' store", Duration::from_secs(1)).into()
    }
}

impl CartError {
    fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Change(error) => change_problem(error),
            Self::LookUp(LookUpError::Unknown) => {
                Problem::not_found("PRODUCT_NOT_FOUND", "no product has this SKU")
                    .field("sku_id", "is unknown")
            }
            Self::LookUp(LookUpError::NotForSale) => {
                Problem::conflict("PRODUCT_UNAVAILABLE", "this product is not for sale now")
                    .field("sku_id", "is not for sale")
            }
            Self::LookUp(LookUpError::Call(error)) => {
                tracing::error!(%error, "the catalog could not be asked");
                error.to_problem()
            }
            Self::Total => Problem::bad_request("INVALID_QUANTITY", self.to_string()).field("quantity", self),
        }
    }
}

fn change_problem(error: &ChangeError) -> Problem {
    match error {
        ChangeError::CheckedOut => Problem::conflict(
            "CART_CHECKED_OUT",
            "this cart is being checked out; it is free again when the order is confirmed or cancelled",
        )
        .retry_after(Duration::from_secs(1)),
        ChangeError::KeyReused => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "IDEMPOTENCY_KEY_REUSED",
            error.to_string(),
        ),
        ChangeError::NoLine => {
            Problem::not_found("CART_ITEM_NOT_FOUND", error.to_string()).field("sku_id", "is not in the cart")
        }
        ChangeError::TooManyLines(_) => {
            Problem::conflict("CART_FULL", error.to_string()).field("sku_id", error)
        }
        ChangeError::TooManyUnits(_) => {
            Problem::bad_request("INVALID_QUANTITY", error.to_string()).field("quantity", error)
        }
        ChangeError::Redis(cause) => {
            tracing::error!(error = %cause, "redis could not be asked");
            Problem::unavailable("the cart store", Duration::from_secs(1))
        }
        ChangeError::Corrupt(_) | ChangeError::Unexpected(_) => {
            tracing::error!(%error, "the cart store gave what cannot be read");
            Problem::internal()
        }
    }
}

impl ResponseError for CartError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        self.problem().error_response()
    }
}
