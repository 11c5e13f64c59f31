use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::TokenIssuer;
use crate::deadline::{TIMEOUT_HEADER, time_left};
use crate::problem::{Problem, ProblemBody};
use crate::thread_clients::ThreadClients;

/// The largest answer that is read from another service, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a call to another service gave no answer to work with.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service answered with a problem.
    #[error("{service} answered {status} {}: {}", problem.code, problem.detail)]
    Refused {
        service: &'static str,
        status: u16,
        problem: Box<ProblemBody>,
    },
    /// No connection: the request did not arrive.
    #[error("{service} cannot be reached: {reason}")]
    Unreachable { service: &'static str, reason: String },
    /// Cut off or too late: whether the request had its effect is unknown.
    #[error("{service} gave no answer: {reason}")]
    NoAnswer { service: &'static str, reason: String },
    #[error("{service} gave an answer that cannot be read: {reason}")]
    Unreadable { service: &'static str, reason: String },
}

impl CallError {
    /// The problem code, if the service refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// A definite no: the request had no effect, and the same one would be refused again.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if (400..500).contains(status) && !matches!(status, 408 | 425 | 429))
    }

    /// What a client is told when it cannot be told more.
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Refused { service, .. }
            | Self::Unreachable { service, .. }
            | Self::NoAnswer { service, .. } => Problem::unavailable(service, Duration::from_secs(1)),
            Self::Unreadable { .. } => Problem::internal(),
        }
    }
}

/// Calls one other service: with this service's own token, the trace, and a deadline on every call.
#[derive(Clone)]
pub struct ServiceClient {
    http: ThreadClients,
    base_url: String,
    service: &'static str,
    issuer: TokenIssuer,
    timeout: Duration,
}

impl ServiceClient {
    pub fn new(
        service: &'static str,
        base_url: &str,
        issuer: TokenIssuer,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let http = ThreadClients::new(move || {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(1).min(timeout))
                .pool_max_idle_per_host(64)
                .redirect(reqwest::redirect::Policy::none())
                // Callers decide what is tried again; for its own retries the client would keep a copy of every request.
                .retry(reqwest::retry::never())
        })?;
        Ok(Self {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            service,
            issuer,
            timeout,
        })
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.send(self.request(Method::GET, path)?).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        self.send(self.request(Method::POST, path)?.json(body)).await
    }

    /// A POST that the other service makes at most once per key.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.send(
            self.request(Method::POST, path)?
                .header("idempotency-key", key)
                .json(body),
        )
        .await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let unreachable = |problem: Problem| CallError::Unreachable {
            service: self.service,
            reason: problem.to_string(),
        };
        let token = self.issuer.service_token(self.service).map_err(unreachable)?;
        // Never longer than whoever waits for us.
        let timeout = time_left().map_or(self.timeout, |left| left.min(self.timeout));
        if timeout < Duration::from_millis(1) {
            return Err(CallError::Unreachable {
                service: self.service,
                reason: "no time is left for the call".to_owned(),
            });
        }
        let http = self.http.get().map_err(|error| CallError::Unreachable {
            service: self.service,
            reason: error.to_string(),
        })?;
        let mut request = http
            .request(method, format!("{}{path}", self.base_url))
            .bearer_auth(token)
            .header(TIMEOUT_HEADER, timeout.as_millis().to_string())
            .timeout(timeout);
        if let Some(traceparent) = ferrocart_telemetry::current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        Ok(request)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let mut response = request.send().await.map_err(|error| self.transport(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.unreadable("it is larger than 4 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.unreadable(error));
        }
        Err(self.refused(status, &body))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> CallError {
        match serde_json::from_slice::<ProblemBody>(body) {
            Ok(problem) => CallError::Refused {
                service: self.service,
                status: status.as_u16(),
                problem: Box::new(problem),
            },
            Err(error) => self.unreadable(format!("{status}: {error}")),
        }
    }

    fn unreadable(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::Unreadable {
            service: self.service,
            reason: reason.to_string(),
        }
    }

    fn transport(&self, error: &reqwest::Error) -> CallError {
        // The URL in reqwest's own text may carry ids; the kind and the cause say enough.
        let mut reason = if error.is_timeout() {
            "timed out".to_owned()
        } else {
            String::new()
        };
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            reason = format!("{reason}{}{inner}", if reason.is_empty() { "" } else { ": " });
            cause = inner.source();
        }
        if error.is_connect() {
            CallError::Unreachable {
                service: self.service,
                reason,
            }
        } else {
            CallError::NoAnswer {
                service: self.service,
                reason,
            }
        }
    }
}
