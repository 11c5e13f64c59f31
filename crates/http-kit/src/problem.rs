use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which field of the request is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A path into the request, such as `items[0].quantity`.
    pub field: String,
    pub reason: String,
}

/// RFC 9457 `application/problem+json` as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Where the code is documented.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// Stable; programs decide by it.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    pub trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Members beyond those that all problems have, such as both prices of a PRICE_CHANGED.
    #[serde(flatten, default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A refusal on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

/// Behind a box: a problem is the rare half of many a `Result`.
#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    retryable: bool,
    retry_after: Option<Duration>,
    errors: Vec<FieldError>,
    extra: serde_json::Map<String, serde_json::Value>,
    trace_id: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            retryable: false,
            retry_after: None,
            errors: Vec::new(),
            extra: serde_json::Map::new(),
            trace_id: None,
        }))
    }

    pub fn bad_request(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 400 VALIDATION_ERROR that names one field.
    pub fn invalid_field(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        let field = field.into();
        Self::bad_request("VALIDATION_ERROR", format!("{field}: {reason}")).field(field, reason)
    }

    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    pub fn not_found(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 503 with `Retry-After`: a dependency is away, the same request may succeed later.
    pub fn unavailable(dependency: &str, retry_after: Duration) -> Self {
        let detail = format!("{dependency} is not available right now");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", detail).retry_after(retry_after)
    }

    /// 500; the cause belongs in the log, not in the answer.
    pub fn internal() -> Self {
        let detail = "something went wrong here; the trace id leads to the details";
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", detail);
        problem.0.retryable = true;
        problem
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<String>, reason: impl fmt::Display) -> Self {
        self.0.errors.push(FieldError {
            field: field.into(),
            reason: reason.to_string(),
        });
        self
    }

    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Also marks the problem as retryable.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retryable = true;
        self.0.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.extra.insert(member.to_owned(), value);
        }
        self
    }

    /// Takes the trace id now, for a problem that is rendered after its request's span has ended.
    #[must_use]
    pub fn with_current_trace(mut self) -> Self {
        self.0.trace_id = ferrocart_telemetry::current_trace_id();
        self
    }

    pub fn code(&self) -> &str {
        &self.0.code
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The body, with the trace id of the current request.
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            type_uri: type_uri(&self.0.code),
            title: self.0.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.0.status.as_u16(),
            detail: self.0.detail.clone(),
            code: self.0.code.clone().into_owned(),
            retryable: self.0.retryable,
            trace_id: self
                .0
                .trace_id
                .clone()
                .or_else(ferrocart_telemetry::current_trace_id),
            errors: self.0.errors.clone(),
            extra: self.0.extra.clone(),
        }
    }
}

/// Where a code is documented.
pub(crate) fn type_uri(code: &str) -> String {
    format!(
        "https://ferrocart.dev/problems/{}",
        code.to_lowercase().replace('_', "-")
    )
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.0.status);
        response.insert_header(ContentType(
            "application/problem+json".parse().unwrap_or(mime_json()),
        ));
        if let Some(wait) = self.0.retry_after {
            // Rounded up, and never 0: a client must not come back too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response.insert_header((
                RETRY_AFTER,
                HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("1")),
            ));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        response.body(serde_json::to_vec(&self.body()).unwrap_or_default())
    }
}

fn mime_json() -> actix_web::mime::Mime {
    actix_web::mime::APPLICATION_JSON
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_all_members() {
        let problem = Problem::invalid_field("quantity", "must be at least 1");
        let json = serde_json::to_value(problem.body()).unwrap();
        assert_eq!(json["status"], 400);
        assert_eq!(json["code"], "VALIDATION_ERROR");
        assert_eq!(json["retryable"], false);
        assert_eq!(json["errors"][0]["field"], "quantity");
        assert_eq!(json["type"], "https://ferrocart.dev/problems/validation-error");
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_early() {
        let problem = Problem::unavailable("payment", Duration::from_millis(1200));
        let response = problem.error_response();
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
        assert!(problem.body().retryable);
    }
}
