use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_http_kit::Problem;

use crate::engine::EngineError;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("{0}")]
    Problem(#[from] Problem),
    #[error("the index failed: {0}")]
    Engine(#[from] EngineError),
}

impl ServiceError {
    fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Engine(EngineError::Busy) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "OVERLOADED",
                "too many searches at once; try again in a moment",
            )
            .retry_after(RETRY_AFTER),
            Self::Engine(_) => Problem::internal(),
        }
    }
}

impl ResponseError for ServiceError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        if problem.status().is_server_error() {
            tracing::error!(error = %self, problem.code = problem.code(), "request failed");
        }
        problem.error_response()
    }
}
