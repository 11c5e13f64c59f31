use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_http_kit::Problem;
use ferrocart_pg_kit::StoreError;

/// Everything that the gateway's own endpoints can answer with but success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same for an unknown address and a wrong password.
    #[error("the e-mail or the password is wrong")]
    InvalidCredentials,
    /// The same for an unknown, used, revoked and expired one.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The same for an unknown, used and expired one.
    #[error("the link is not valid: it was used, or is too old")]
    InvalidLink,
    #[error("so many changes of the e-mail address were asked for that no more are taken in this hour")]
    TooManyLinks,
    #[error("the e-mail has an account already")]
    EmailTaken,
    #[error("there is no such user")]
    UserNotFound,
    #[error("the key is unknown, revoked or too old, or its secret is wrong")]
    InvalidClient,
    #[error("the scope is `read` or `write`, and no more than the key's")]
    InvalidScope,
    #[error("there is no such key")]
    KeyNotFound,
    #[error("an account has at most {0} keys that are good: revoke one first")]
    KeyLimit(i64),
    #[error("a key has no role that its owner does not have")]
    RoleNotYours,
    #[error("the user was changed by another request at the same time")]
    ConcurrentChange,
    /// The same whether there is such an account or not.
    #[error("too many wrong passwords for this e-mail address: wait, or log in from where you did before")]
    TooManyTries(Duration),
    #[error("too many passwords are being checked right now")]
    Busy,
    #[error("hashing a password: {0}")]
    Hash(String),
}

impl From<sqlx::Error> for ServiceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ServiceError {
    pub(crate) fn to_problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Store(error) if error.is_unavailable() => {
                Problem::unavailable("the identity database", Duration::from_secs(1))
            }
            Self::Store(_) | Self::Hash(_) => Problem::internal(),
            Self::InvalidCredentials => {
                Problem::new(StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS", self.to_string())
            }
            Self::InvalidRefreshToken => Problem::new(
                StatusCode::UNAUTHORIZED,
                "INVALID_REFRESH_TOKEN",
                self.to_string(),
            ),
            Self::InvalidLink => Problem::bad_request("INVALID_LINK", self.to_string()),
            Self::TooManyTries(wait) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", self.to_string())
                    .retry_after(*wait)
            }
            Self::TooManyLinks => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", self.to_string())
                    .retry_after(Duration::from_hours(1))
            }
            Self::EmailTaken => {
                Problem::conflict("EMAIL_TAKEN", self.to_string()).field("email", "has an account already")
            }
            Self::UserNotFound => Problem::not_found("USER_NOT_FOUND", self.to_string()),
            Self::InvalidClient => Problem::new(StatusCode::UNAUTHORIZED, "INVALID_CLIENT", self.to_string())
                .with("error", "invalid_client"),
            Self::InvalidScope => {
                Problem::bad_request("OAUTH_ERROR", self.to_string()).with("error", "invalid_scope")
            }
            Self::KeyNotFound => Problem::not_found("KEY_NOT_FOUND", self.to_string()),
            Self::KeyLimit(_) => Problem::conflict("KEY_LIMIT", self.to_string()),
            Self::RoleNotYours => Problem::forbidden(self.to_string()).field("roles", self),
            Self::ConcurrentChange => Problem::conflict("CONCURRENT_CHANGE", self.to_string()).retryable(),
            Self::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", self.to_string())
                .retry_after(Duration::from_secs(2)),
        }
    }
}

impl ResponseError for ServiceError {
    fn status_code(&self) -> StatusCode {
        self.to_problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.to_problem();
        if problem.status().is_server_error() {
            tracing::error!(error = %self, code = problem.code(), "a request failed");
        }
        problem.error_response()
    }
}
