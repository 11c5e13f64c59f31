use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_http_kit::Problem;
use ferrocart_pg_kit::StoreError;

use crate::webhook::SecretError;

/// What a request can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotificationError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl ResponseError for NotificationError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Problem(problem) => problem.status(),
            Self::Store(error) if error.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Secret(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Problem(problem) => problem.error_response(),
            Self::Secret(error) => {
                tracing::error!(%error, "the secret of an endpoint failed");
                Problem::internal().error_response()
            }
            Self::Store(error) => {
                tracing::error!(%error, "the notification store failed");
                if error.is_unavailable() {
                    Problem::unavailable("the notification store", Duration::from_secs(1)).error_response()
                } else {
                    Problem::internal().error_response()
                }
            }
        }
    }
}
