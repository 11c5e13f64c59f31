//! Requests as any client would send them, and answers kept whole, so that a failure can show them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dto::Problem;
use crate::report::{Unmet, as_micros};
use crate::screen::format_duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const LIMITED_TRIES_MAX: u32 = 5;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
const SECRET_FIELDS: [&str; 5] = [
    "access_token",
    "client_secret",
    "password",
    "refresh_token",
    "secret",
];

/// One exchange, for the report.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub status: u16,
    #[serde(rename = "duration_us", serialize_with = "as_micros")]
    pub duration: Duration,
    pub trace_id: Option<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            status,
            duration,
            ..
        } = self;
        write!(f, "{status} {:>10}  {method} {path}", format_duration(*duration))
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub method: String,
    pub path: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub duration: Duration,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The trace id of the `traceparent` header.
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.header("traceparent")?)
    }

    pub(crate) fn unmet(&self, expectation: impl Into<String>) -> Unmet {
        Unmet {
            expectation: expectation.into(),
            answer: Some(Box::new(self.clone())),
        }
    }

    pub(crate) fn must(&self, met: bool, expectation: impl Into<String>) -> Result<(), Unmet> {
        if met { Ok(()) } else { Err(self.unmet(expectation)) }
    }

    pub(crate) fn expect(self, statuses: &[u16]) -> Result<Self, Unmet> {
        let wanted = statuses
            .iter()
            .map(u16::to_string)
            .collect::<Vec<_>>()
            .join(" or ");
        self.must(
            statuses.contains(&self.status),
            format!("{} {} to answer {wanted}", self.method, self.path),
        )?;
        Ok(self)
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Unmet> {
        serde_json::from_str(&self.body)
            .map_err(|error| self.unmet(format!("a body as documented ({error})")))
    }

    pub(crate) fn json(&self) -> Result<Value, Unmet> {
        self.read()
    }

    /// A problem with one of these statuses, shaped as documented.
    pub(crate) fn problem(&self, statuses: &[u16]) -> Result<Problem, Unmet> {
        let answer = self.clone().expect(statuses)?;
        let content_type = answer.header("content-type").unwrap_or_default();
        answer.must(
            content_type.starts_with("application/problem+json"),
            "content-type application/problem+json",
        )?;
        let problem: Problem = answer.read()?;
        answer.must(
            problem.status == answer.status,
            "the problem's status to be that of the answer",
        )?;
        answer.must(
            answer.trace_id() == Some(problem.trace_id.as_str()),
            "the problem's trace_id to be that of the traceparent header",
        )?;
        Ok(problem)
    }

    pub(crate) fn problem_code(&self, status: u16, code: &str) -> Result<Problem, Unmet> {
        let problem = self.problem(&[status])?;
        self.must(problem.code == code, format!("the code {code}"))?;
        Ok(problem)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            status,
            duration,
            ..
        } = self;
        writeln!(
            f,
            "{method} {path} answered {status} after {}",
            format_duration(*duration)
        )?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(mut json) => {
                redact(&mut json);
                write!(f, "\n{json:#}")
            }
            Err(_) => write!(f, "\n{}", self.body),
        }
    }
}

fn redact(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRET_FIELDS.contains(&name.as_str()) {
                    *value = Value::from("…");
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// The second field of `00-<trace id>-<span id>-<flags>`, when it is one.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    timeout: Duration,
    calls: Mutex<Vec<Call>>,
}

impl Api {
    pub(crate) fn new(base: &str, timeout: Duration) -> Result<Self, Unmet> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Unmet::new(format!("an HTTP client ({error})")))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            timeout,
            calls: Mutex::default(),
        })
    }

    pub(crate) fn get(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::GET, path.into())
    }

    pub(crate) fn post(&self, path: impl Into<String>, body: Value) -> Request<'_> {
        Request {
            body: Some(body),
            ..self.request(Method::POST, path.into())
        }
    }

    pub(crate) fn put(&self, path: impl Into<String>, body: Value) -> Request<'_> {
        Request {
            body: Some(body),
            ..self.request(Method::PUT, path.into())
        }
    }

    pub(crate) fn delete(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::DELETE, path.into())
    }

    /// A form to somewhere else than the shop; answers the status.
    pub(crate) async fn post_form(&self, url: &str, key: &str, form: String) -> Result<u16, Unmet> {
        let request = self
            .http
            .post(url)
            .bearer_auth(key)
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(self.timeout)
            .body(form);
        let response = request
            .send()
            .await
            .map_err(|error| Unmet::new(format!("an answer of the provider ({})", causes(&error))))?;
        Ok(response.status().as_u16())
    }

    fn request(&self, method: Method, path: String) -> Request<'_> {
        Request {
            api: self,
            method,
            path,
            token: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// The calls since this was asked for the last time.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, call: Call) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }
}

#[must_use = "a request does nothing until it is sent"]
pub(crate) struct Request<'a> {
    api: &'a Api,
    method: Method,
    path: String,
    token: Option<&'a str>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl<'a> Request<'a> {
    pub(crate) fn token(self, token: &'a str) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends it and reads the whole answer. Where the gateway says 429 the client waits as it is told.
    pub(crate) async fn send(self) -> Result<Answer, Unmet> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.once().await?;
            if answer.status != 429 || tries == LIMITED_TRIES_MAX {
                return Ok(answer);
            }
            let seconds = answer.header("retry-after").and_then(|value| value.parse().ok());
            let seconds = seconds.ok_or_else(|| answer.unmet("a Retry-After with the 429"))?;
            tokio::time::sleep(Duration::from_secs(seconds).min(RETRY_AFTER_MAX)).await;
        }
    }

    async fn once(&self) -> Result<Answer, Unmet> {
        let begin = Instant::now();
        let work = async {
            let response = self.build().send().await?;
            read(response).await
        };
        let read = tokio::time::timeout(self.api.timeout, work).await;
        let (status, headers, body) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(self.unanswered(&causes(&error))),
            Err(_) => return Err(self.unanswered(&format!("none within {:?}", self.api.timeout))),
        };
        let answer = Answer {
            method: self.method.to_string(),
            path: self.path.clone(),
            status,
            headers,
            body,
            duration: begin.elapsed(),
        };
        self.record(&answer);
        Ok(answer)
    }

    /// Sends it and returns as soon as the head of the answer is there: for streams.
    pub(crate) async fn open(self) -> Result<Response, Unmet> {
        let begin = Instant::now();
        let response = match tokio::time::timeout(self.api.timeout, self.build().send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unanswered(&causes(&error))),
            Err(_) => return Err(self.unanswered(&format!("none within {:?}", self.api.timeout))),
        };
        let mut answer = Answer {
            method: self.method.to_string(),
            path: self.path.clone(),
            status: response.status().as_u16(),
            headers: headers(&response),
            body: String::new(),
            duration: begin.elapsed(),
        };
        self.record(&answer);
        let event_stream = answer
            .header("content-type")
            .is_some_and(|value| value.starts_with("text/event-stream"));
        if answer.status == 200 && event_stream {
            return Ok(response);
        }
        if let Ok(Ok((_, _, body))) = tokio::time::timeout(self.api.timeout, read(response)).await {
            answer.body = body;
        }
        Err(answer.unmet("200 with content-type text/event-stream"))
    }

    fn record(&self, answer: &Answer) {
        self.api.record(Call {
            method: answer.method.clone(),
            path: answer.path.clone(),
            status: answer.status,
            duration: answer.duration,
            trace_id: answer.trace_id().map(str::to_owned),
        });
    }

    fn build(&self) -> RequestBuilder {
        let mut request = self
            .api
            .http
            .request(self.method.clone(), format!("{}{}", self.api.base, self.path));
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    fn unanswered(&self, why: &str) -> Unmet {
        let Self {
            method, path, api, ..
        } = self;
        Unmet::new(format!("an answer to {method} {path} from {}: {why}", api.base))
    }
}

/// The error and what caused it: reqwest's own text does not say that nobody listened.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

type Parts = (u16, Vec<(String, String)>, String);

async fn read(mut response: Response) -> reqwest::Result<Parts> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        // Cut rather than grow without bound: a body this long is no answer of this API.
        let room = BODY_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if room == 0 {
            break;
        }
    }
    Ok((
        response.status().as_u16(),
        headers(&response),
        String::from_utf8_lossy(&body).into_owned(),
    ))
}

fn headers(response: &Response) -> Vec<(String, String)> {
    let pairs = response.headers().iter();
    pairs
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Answer {
            method: "POST".to_owned(),
            path: "/v1/auth/token".to_owned(),
            status,
            headers: vec![
                ("content-type".to_owned(), "application/problem+json".to_owned()),
                ("traceparent".to_owned(), trace.to_owned()),
            ],
            body: body.to_owned(),
            duration: Duration::from_millis(3),
        }
    }

    #[test]
    fn a_shown_answer_keeps_secrets_to_itself() {
        let shown = answer(
            200,
            r#"{"access_token":"abc","nested":[{"refresh_token":"def"}],"expires_in":900}"#,
        );
        let shown = shown.unmet("something else").to_string();
        assert!(!shown.contains("abc") && !shown.contains("def"), "{shown}");
        assert!(
            shown.contains("900") && shown.contains("answered 200") && shown.contains("traceparent"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_limited_request_waits_as_told_and_is_sent_again() {
        let answers = [
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        ]
        .map(str::to_owned);
        let (url, server) = crate::canned::serve(&answers).await;
        let api = Api::new(&url, Duration::from_secs(5)).unwrap();
        let request = api
            .post("/v1/checkout", serde_json::json!({"a": 1}))
            .token("t")
            .key("k-1")
            .send();
        let (requests, answer) = futures::future::join(server, request).await;
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(requests.len(), 2);
        assert!(
            requests
                .iter()
                .all(|request| request.contains("idempotency-key: k-1")),
            "{requests:?}"
        );
        let statuses: Vec<u16> = api.take_calls().iter().map(|call| call.status).collect();
        assert_eq!(statuses, [429, 200]);
    }

    #[tokio::test]
    async fn nobody_listening_is_said_with_the_address() {
        let api = Api::new("http://127.0.0.1:1", Duration::from_secs(5)).unwrap();
        let unmet = api.get("/v1/orders").send().await.unwrap_err().to_string();
        assert!(
            unmet.contains("GET /v1/orders from http://127.0.0.1:1"),
            "{unmet}"
        );
        assert!(unmet.contains("refused"), "{unmet}");
    }

    #[test]
    fn a_problem_must_carry_the_trace_of_its_answer() {
        let body = |trace: &str| {
            format!(
                r#"{{"type":"about:blank","title":"t","status":402,"detail":"d","code":"PAYMENT_DECLINED",
                    "retryable":false,"trace_id":"{trace}"}}"#
            )
        };
        let good = answer(402, &body("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(good.problem_code(402, "PAYMENT_DECLINED").is_ok());
        assert!(good.problem_code(402, "CARD_DECLINED").is_err());
        assert!(good.problem_code(409, "PAYMENT_DECLINED").is_err());
        assert!(answer(402, &body("0")).problem(&[402]).is_err());
    }

    #[test]
    fn trace_ids_are_read_from_traceparent_only_when_they_are_some() {
        assert_eq!(
            trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(trace_id("00-xyz-1-01"), None);
        assert_eq!(trace_id(""), None);
    }
}
