use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap as ClientHeaders};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use ferrocart_http_kit::Problem;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::gate::{Admitted, Edge};
use super::headers;
use super::table::{BodyRule, Pace, Rule, Service, Who};
use super::upstream::{Incoming, Outgoing, OutgoingBody, unanswered};

/// An answer of known size up to this is read whole, which is cheaper than a stream, in bytes.
const WHOLE_ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// How long a client may take to send a small body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may pause within an import.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
const CHUNKS_WAITING_MAX: usize = 8;

/// Passes a request on to the service that answers it.
pub(crate) async fn forward(
    service: Service,
    request: HttpRequest,
    payload: web::Payload,
    admitted: web::ReqData<Admitted>,
    edge: web::Data<Edge>,
) -> Result<HttpResponse, Problem> {
    let rule = admitted.rule;
    let token = match rule.who {
        Who::Unchecked => None,
        _ => Some(edge.internal.token(service, admitted.claims()).await?),
    };
    let headers = outgoing_headers(&request, token.as_deref())?;
    if rule.body == BodyRule::Import {
        return import(service, &request, payload, headers, (rule, &edge)).await;
    }
    let body = if request.method() == actix_web::http::Method::GET {
        Bytes::new()
    } else {
        read_small(&request, payload, edge.settings.body_bytes_max).await?
    };
    send(
        service,
        &request,
        headers,
        OutgoingBody::Whole(body),
        (rule, &edge),
    )
    .await
}

/// Passes on a request whose body was read already.
pub(crate) async fn send(
    service: Service,
    request: &HttpRequest,
    headers: HeaderMap,
    body: OutgoingBody,
    (rule, edge): (&Rule, &Edge),
) -> Result<HttpResponse, Problem> {
    let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let incoming = edge
        .upstreams
        .send(Outgoing {
            service,
            method: method(request)?,
            path_and_query,
            headers,
            body,
            pace: rule.pace,
        })
        .await?;
    answer(service, incoming).await
}

/// The body goes on as it comes, while the answer may come back already.
async fn import(
    service: Service,
    request: &HttpRequest,
    payload: web::Payload,
    headers: HeaderMap,
    (rule, edge): (&Rule, &Edge),
) -> Result<HttpResponse, Problem> {
    let limit = edge.settings.import_bytes_max;
    if content_length(request.headers()).is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let is_too_large = Arc::new(AtomicBool::new(false));
    let body = stream(payload, limit, Arc::clone(&is_too_large));
    let outcome = send(
        service,
        request,
        headers,
        OutgoingBody::Stream(body),
        (rule, edge),
    )
    .await;
    if outcome.is_err() && is_too_large.load(Ordering::Relaxed) {
        return Err(too_large(limit));
    }
    outcome
}

impl Edge {
    /// Asks a service in the caller's name; its refusals are the client's.
    pub(crate) async fn get_as_caller(
        &self,
        service: Service,
        path: &str,
        (request, admitted): (&HttpRequest, &Admitted),
    ) -> Result<WholeAnswer, Problem> {
        let token = self.internal.token(service, admitted.claims()).await?;
        let mut headers = outgoing_headers(request, Some(&token))?;
        // The client's own preferences are about another answer.
        for name in ["accept", "accept-encoding", "if-none-match", "if-modified-since"] {
            headers.remove(name);
        }
        let incoming = self
            .upstreams
            .send(Outgoing {
                service,
                method: reqwest::Method::GET,
                path_and_query: path,
                headers,
                body: OutgoingBody::Whole(Bytes::new()),
                pace: Pace::Normal,
            })
            .await?;
        let status = status(service, &incoming.response)?;
        let headers = headers::to_client(incoming.response.headers())
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        let body = incoming
            .response
            .bytes()
            .await
            .map_err(|error| unanswered(service.name(), &error))?;
        Ok(WholeAnswer {
            status,
            headers,
            body,
        })
    }
}

/// A service's answer that was read to its end.
pub(crate) struct WholeAnswer {
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl WholeAnswer {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            tracing::error!(%error, "a service gave an answer that cannot be read");
            Problem::internal()
        })
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let mut client = HttpResponse::build(self.status);
        for (name, value) in self.headers {
            client.append_header((name, value));
        }
        client.body(self.body)
    }
}

fn status(service: Service, response: &reqwest::Response) -> Result<StatusCode, Problem> {
    StatusCode::from_u16(response.status().as_u16())
        .map_err(|_| Problem::unavailable(service.name(), Duration::from_secs(1)))
}

/// What a service is told: the client's fields that concern it, who is calling, and the trace.
pub(crate) fn outgoing_headers(request: &HttpRequest, token: Option<&str>) -> Result<HeaderMap, Problem> {
    let mut headers = headers::to_service(request.headers());
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Problem::internal())?;
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(value) = ferrocart_telemetry::current_traceparent()
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        headers.insert("traceparent", value);
    }
    if let Some(value) = request_id(request)
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        headers.insert("x-request-id", value);
    }
    Ok(headers)
}

/// The same id that the answer will carry.
fn request_id(request: &HttpRequest) -> Option<String> {
    let sent = request
        .headers()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        });
    sent.map(ToOwned::to_owned)
        .or_else(ferrocart_telemetry::current_trace_id)
}

fn method(request: &HttpRequest) -> Result<reqwest::Method, Problem> {
    reqwest::Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| Problem::internal())
}

fn content_length(headers: &ClientHeaders) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: impl std::fmt::Display) -> Problem {
    let detail = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", detail)
}

/// Reads a body of bounded size in bounded time.
pub(crate) async fn read_small(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<Bytes, Problem> {
    read_body(request.headers(), payload, limit).await
}

pub(super) async fn read_body(
    headers: &ClientHeaders,
    mut payload: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    limit: usize,
) -> Result<Bytes, Problem> {
    let announced = content_length(headers).and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let reading = async {
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::bad_request("MALFORMED_BODY", format!("the body could not be read: {error}"))
            })?;
            if body.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "REQUEST_TIMEOUT",
            "the body did not arrive in time",
        )
    })?
}

/// A client's body as a stream that can leave this thread. It ends with an error, and so the request to
/// the service, when the client's does, pauses too long or grows too large.
fn stream(mut payload: web::Payload, limit: u64, is_too_large: Arc<AtomicBool>) -> reqwest::Body {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(CHUNKS_WAITING_MAX);
    actix_web::rt::spawn(async move {
        let mut seen = 0_u64;
        loop {
            let chunk = match tokio::time::timeout(CHUNK_TIMEOUT, payload.next()).await {
                Ok(Some(Ok(chunk))) => {
                    seen = seen.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                    if seen > limit {
                        is_too_large.store(true, Ordering::Relaxed);
                        Err(std::io::Error::other("the body is too large"))
                    } else {
                        Ok(chunk)
                    }
                }
                Ok(Some(Err(error))) => Err(std::io::Error::other(error.to_string())),
                Ok(None) => return,
                Err(_) => Err(std::io::Error::other("the client paused too long")),
            };
            let is_last = chunk.is_err();
            // Nobody takes it any more when the service has answered without reading on.
            if sender.send(chunk).await.is_err() || is_last {
                return;
            }
        }
    });
    reqwest::Body::wrap_stream(futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}

/// The service's answer, as the client gets it.
async fn answer(service: Service, incoming: Incoming) -> Result<HttpResponse, Problem> {
    let Incoming { response, turn } = incoming;
    let mut client = HttpResponse::build(status(service, &response)?);
    for (name, value) in headers::to_client(response.headers()) {
        client.append_header((name.as_str(), value.as_bytes()));
    }
    match response.content_length() {
        Some(length) if length <= WHOLE_ANSWER_BYTES_MAX => {
            let body = response
                .bytes()
                .await
                .map_err(|error| unanswered(service.name(), &error))?;
            Ok(client.body(body))
        }
        length => {
            let body = response
                .bytes_stream()
                .map_err(move |error| {
                    // The head is with the client already: cutting the connection is all that is left.
                    unanswered(service.name(), &error);
                    std::io::Error::other("the service's answer was cut off")
                })
                .inspect(move |_| {
                    let _held = &turn;
                });
            Ok(match length {
                Some(length) => client.body(SizedStream::new(length, body)),
                None => client.streaming(body),
            })
        }
    }
}
