use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::EngineError;

/// More of an answer that is an error is not worth telling.
const QUOTED_MAX: usize = 500;

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

#[derive(Debug, thiserror::Error)]
#[error("the cluster answered {status}: {body}")]
struct Refused {
    status: StatusCode,
    body: String,
}

impl Client {
    pub(super) fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let base = Url::parse(url).context("search_engine: is no URL")?;
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .no_proxy()
            .build()
            .context("an HTTP client")?;
        Ok(Self { http, base })
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, EngineError> {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self
            .send(operation, method, path, "application/json", text)
            .await?;
        answer.json().await.map_err(EngineError::during(operation))
    }

    /// Lines of JSON, as bulk requests are.
    pub(super) async fn lines<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: String,
    ) -> Result<T, EngineError> {
        let answer = self
            .send(operation, Method::POST, path, "application/x-ndjson", body)
            .await?;
        answer.json().await.map_err(EngineError::during(operation))
    }

    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<reqwest::Response, EngineError> {
        let url = self.base.join(path).map_err(EngineError::during(operation))?;
        let mut request = self.http.request(method, url);
        if !body.is_empty() {
            request = request.header("content-type", content_type).body(body);
        }
        // The address may hold a password.
        let answer = request
            .send()
            .await
            .map_err(|error| EngineError::during(operation)(error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(EngineError::Busy);
        }
        let body = answer.text().await.unwrap_or_default();
        let body = body.chars().take(QUOTED_MAX).collect();
        Err(EngineError::during(operation)(Refused { status, body }))
    }
}

/// Whether the cluster says that there is no such thing.
pub(super) fn is_missing(error: &EngineError) -> bool {
    let EngineError::Failed { source, .. } = error else {
        return false;
    };
    source
        .downcast_ref::<Refused>()
        .is_some_and(|refused| refused.status == StatusCode::NOT_FOUND)
}
