//! HTTP to the gateway, as a careful client speaks it: whatever is not a definite answer is asked again, with
//! the same key.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ferrocart_types::{IdGen as _, SystemIds};
use reqwest::Method;
use serde_json::Value;

/// Far longer than anything may take: who waits longer has found a violation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const PAUSE: Duration = Duration::from_millis(150);

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    gateway: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Result<String> {
        let value = self.json[name].as_str();
        let value = value.with_context(|| format!("an answer without {name}: {}", self.text))?;
        Ok(value.to_owned())
    }

    /// Whether the same request is to be sent again.
    fn is_open(&self, request: &Request<'_>) -> bool {
        matches!(self.status, 408 | 429 | 500..=599)
            || (self.status == 202 && !request.may_wait)
            || (self.status == 409 && self.json["code"] == "REQUEST_IN_PROGRESS")
    }
}

/// One request, which may be sent several times.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) token: &'a str,
    /// The same with every try.
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
    /// 202 is an answer: nothing more comes of asking.
    pub(crate) may_wait: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn post(path: &str, token: &'a str, body: Value) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            token,
            key: Some(fresh_key()),
            body: Some(body),
            may_wait: false,
        }
    }

    pub(crate) fn put(path: String, token: &'a str, body: Option<Value>) -> Self {
        Self {
            method: Method::PUT,
            path,
            token,
            key: None,
            body,
            may_wait: false,
        }
    }

    pub(crate) fn get(path: String, token: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            token,
            key: None,
            body: None,
            may_wait: false,
        }
    }
}

pub(crate) fn fresh_key() -> String {
    SystemIds.next().to_string()
}

impl Client {
    pub(crate) fn new(gateway: String) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL_TIMEOUT)
            .pool_max_idle_per_host(128)
            .build()
            .context("make an HTTP client")?;
        Ok(Self { http, gateway })
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends it once.
    pub(crate) async fn try_once(&self, request: &Request<'_>) -> Result<Answer> {
        let url = format!("{}{}", self.gateway, request.path);
        let mut sent = self.http.request(request.method.clone(), url);
        if !request.token.is_empty() {
            sent = sent.bearer_auth(request.token);
        }
        if let Some(key) = &request.key {
            sent = sent.header("idempotency-key", key);
        }
        if let Some(body) = &request.body {
            sent = sent.json(body);
        }
        let answer = sent.send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, text, json })
    }

    /// Sends it until the answer is definite.
    pub(crate) async fn ask(&self, request: &Request<'_>) -> Result<Answer> {
        let began = Instant::now();
        loop {
            let last = match self.try_once(request).await {
                Ok(answer) if !answer.is_open(request) => return Ok(answer),
                Ok(answer) => format!("{}: {}", answer.status, answer.text),
                // Cut off or turned away: the process that answers may have been killed.
                Err(error) => format!("{error:#}"),
            };
            if began.elapsed() > PATIENCE {
                let Request { method, path, .. } = request;
                bail!("no definite answer to {method} {path} in {PATIENCE:?}; the last one: {last}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends it until the answer is definite, which has to be a success.
    pub(crate) async fn succeed(&self, request: &Request<'_>) -> Result<Answer> {
        let answer = self.ask(request).await?;
        if !(200..300).contains(&answer.status) {
            let Request { method, path, .. } = request;
            bail!("{method} {path} was answered {}: {}", answer.status, answer.text);
        }
        Ok(answer)
    }
}
