//! The loader's side of the gateway's API: deadlines, and retries where the gateway asks for them.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ImportLine;
use super::ndjson::Lines;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An import of 200 products, on a machine that does everything else at the same time.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const TRIES_MAX: u32 = 8;
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) struct Gateway {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A complete answer.
pub(super) struct Answer {
    what: String,
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn ok<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        self.expect(200)
    }

    pub(super) fn created<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        self.expect(201)
    }

    fn expect<T: DeserializeOwned>(self, status: u16) -> anyhow::Result<T> {
        let Self {
            what,
            status: got,
            body,
        } = self;
        ensure!(
            got == status,
            "{what} answered {got}: {}",
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "{what} answered something else: {}",
                String::from_utf8_lossy(&body)
            )
        })
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .build()
        .context("build the HTTP client")
}

impl Gateway {
    pub(super) fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: client()?,
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let (what, response) = self.send(&Method::GET, path, |request| request).await?;
        complete(what, response).await
    }

    pub(super) async fn post_json(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let (what, response) = self
            .send(&Method::POST, path, |request| {
                let request = request.json(body);
                match key {
                    Some(key) => request.header("idempotency-key", key),
                    None => request,
                }
            })
            .await?;
        complete(what, response).await
    }

    /// Sends NDJSON and reads the answer line by line as it is streamed. An import is an upsert, so
    /// one whose answer broke off is sent again.
    pub(super) async fn import(&self, body: Vec<u8>) -> anyhow::Result<Vec<ImportLine>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (what, response) = self
                .send(&Method::POST, "/v1/products:import", |request| {
                    request
                        .header("content-type", "application/x-ndjson")
                        .body(body.clone())
                })
                .await?;
            if response.status() != StatusCode::OK {
                let answer = complete(what, response).await?;
                bail!(
                    "{} answered {}: {}",
                    answer.what,
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                );
            }
            match import_lines(response).await {
                Err(error) if error.is::<reqwest::Error>() && tries < 3 => backoff(tries).await,
                result => return result.with_context(|| format!("read the answer to {what}")),
            }
        }
    }

    /// Tries again after 429, 503 and a refused connection, as long as the gateway asks, within bounds.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> anyhow::Result<(String, Response)> {
        let what = format!("{method} {path}");
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self
                .http
                .request(method.clone(), format!("{}{path}", self.base))
                .bearer_auth(&self.token);
            match prepare(request).send().await {
                Ok(response) if tries < TRIES_MAX && asks_to_retry(response.status()) => {
                    match retry_after(&response) {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => backoff(tries).await,
                    }
                }
                Ok(response) => return Ok((what, response)),
                Err(error) if tries < TRIES_MAX && error.is_connect() => backoff(tries).await,
                Err(error) => return Err(error).context(what),
            }
        }
    }
}

fn asks_to_retry(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get("retry-after")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

async fn backoff(tries: u32) {
    let wait = BACKOFF_FIRST.saturating_mul(1 << tries.min(5));
    tokio::time::sleep(wait.min(RETRY_AFTER_MAX)).await;
}

async fn complete(what: String, mut response: Response) -> anyhow::Result<Answer> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .with_context(|| format!("read the answer to {what}"))?
    {
        ensure!(
            body.len() + piece.len() <= ANSWER_BYTES_MAX,
            "{what} answered more than {ANSWER_BYTES_MAX} bytes"
        );
        body.extend_from_slice(&piece);
    }
    Ok(Answer { what, status, body })
}

async fn import_lines(mut response: Response) -> anyhow::Result<Vec<ImportLine>> {
    let mut lines = Lines::default();
    let mut parsed = Vec::new();
    let mut each = |line: &[u8]| {
        let line = serde_json::from_slice(line)
            .with_context(|| format!("an unknown line: {}", String::from_utf8_lossy(line)))?;
        parsed.push(line);
        Ok(())
    };
    while let Some(piece) = response.chunk().await? {
        lines.push(&piece, &mut each)?;
    }
    lines.finish(&mut each)?;
    Ok(parsed)
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// An access token for the account, as any client gets one.
pub async fn log_in(gateway_url: &str, email: &str, password: &str) -> anyhow::Result<String> {
    let url = format!("{}/v1/auth/token", gateway_url.trim_end_matches('/'));
    let response = client()?
        .post(&url)
        .json(&json!({"email": email, "password": password}))
        .send()
        .await
        .with_context(|| format!("POST {url}"))?;
    let answer = complete("POST /v1/auth/token".to_owned(), response).await?;
    let token: Token = answer.ok()?;
    Ok(token.access_token)
}
