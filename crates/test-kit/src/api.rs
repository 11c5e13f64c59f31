use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

/// A small client for one service under test.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base_url: String,
    token: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// `Null` where the body is no JSON.
    pub json: Value,
    pub text: String,
}

impl Api {
    pub fn new(port: u16) -> Self {
        // A server ends a connection that is idle for five seconds, also while a request is on its way.
        let http = reqwest::Client::builder()
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .expect("an HTTP client");
        Self {
            http,
            base_url: format!("http://127.0.0.1:{port}"),
            token: None,
        }
    }

    /// The same client with another bearer token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None::<&Value>, &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None::<&Value>, &[]).await
    }

    pub async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(Method::POST, path, Some(&body), &[]).await
    }

    /// A POST with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: impl Serialize) -> Answer {
        self.send(Method::POST, path, Some(&body), &[("idempotency-key", key)])
            .await
    }

    pub async fn put(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(Method::PUT, path, Some(&body), &[]).await
    }

    /// A PUT with an `Idempotency-Key`.
    pub async fn put_once(&self, path: &str, key: &str, body: impl Serialize) -> Answer {
        self.send(Method::PUT, path, Some(&body), &[("idempotency-key", key)])
            .await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base_url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            json,
            text,
        }
    }
}

impl Answer {
    /// Panics, showing the answer, unless the status is the expected one.
    #[track_caller]
    #[allow(
        clippy::return_self_not_must_use,
        reason = "an assertion is worth calling for itself"
    )]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Panics unless this is a problem with the status and code, and complete.
    #[track_caller]
    #[allow(
        clippy::return_self_not_must_use,
        reason = "an assertion is worth calling for itself"
    )]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json["code"], code, "{}", answer.text);
        assert_eq!(
            answer.headers.get("content-type").expect("a type"),
            "application/problem+json"
        );
        assert!(
            answer.json["trace_id"].is_string(),
            "no trace id: {}",
            answer.text
        );
        answer
    }
}
