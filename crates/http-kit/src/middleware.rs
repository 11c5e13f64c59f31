use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use ferrocart_telemetry::TracePoint;
use futures::FutureExt;
use tracing::{Instrument, Span};

use crate::auth::Caller;
use crate::deadline;
use crate::failpoints;
use crate::meter::{LogBudget, Recorder};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::server::ServerParts;

const REQUEST_ID: &str = "x-request-id";
/// How many successful requests a second get a line in the log.
const LOGGED_PER_SECOND: u32 = 200;
static LOG_BUDGET: LogBudget = LogBudget::new(LOGGED_PER_SECOND);

thread_local! {
    static RECORDER: RefCell<Recorder> = RefCell::default();
}

const ALWAYS_PUBLIC: [&str; 4] = ["/health/live", "/health/ready", "/metrics", "/openapi.json"];

fn check(request: &ServiceRequest) -> Result<Option<Arc<Caller>>, Problem> {
    let path = request.path();
    let Some(parts) = request.app_data::<web::Data<ServerParts>>() else {
        return Err(Problem::internal());
    };
    let Some(verifier) = &parts.verifier else {
        return Ok(None);
    };
    if ALWAYS_PUBLIC.contains(&path) || parts.public_paths.contains(&path) || failpoints::is_control(path) {
        return Ok(None);
    }
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| Problem::unauthenticated("a bearer token is needed here"))?;
    let caller = verifier.verify(token)?;
    if path.starts_with("/internal/") && !matches!(*caller, Caller::Service(_)) {
        return Err(Problem::forbidden("this is for services alone"));
    }
    Ok(Some(caller))
}

/// One span, one metric and at most one log line a request; what carries no valid internal token is refused; errors
/// of any origin become problems.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let method = request.method().clone();
    let route: Rc<str> = match request.app_data::<Routes>() {
        Some(routes) => routes.pattern_of(&request),
        None => "unmatched".into(),
    };
    let request_id = request_id(&request);
    let span = span(&request, &route, request_id.as_deref());
    let answer = AssertUnwindSafe(admit(request, &next))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let point = TracePoint::of(&span);
    let _within = span.enter();
    // The request itself is gone with the handler, so that a panic is answered through actix, with a
    // problem that has been given its trace id here.
    let Ok(answer) = answer else {
        tracing::error!("a handler panicked");
        record(
            (&method, "panicked", StatusCode::INTERNAL_SERVER_ERROR),
            started,
            point,
        );
        return Err(Problem::internal().with_current_trace().into());
    };
    let response = match answer {
        Ok(response) => with_ids(problem_shaped(response), point, request_id),
        Err(error) => {
            let status = error.as_response_error().status_code();
            record((&method, &route, status), started, point);
            return Err(error);
        }
    };
    record((&method, &route, response.status()), started, point);
    Ok(response)
}

/// Hands the caller to the handlers, or refuses.
async fn admit(
    request: ServiceRequest,
    next: &Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match check(&request) {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    }
    let Some(deadline) = deadline::deadline_of(request.headers()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    match deadline::until(deadline, next.call(request)).await {
        Ok(answer) => Ok(answer?.map_into_boxed_body()),
        // The request is gone with the handler: actix makes the answer.
        Err(problem) => Err(problem.with_current_trace().into()),
    }
}

fn span(request: &ServiceRequest, route: &str, request_id: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "http.request",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        request_id,
    );
    if ferrocart_telemetry::exports_spans() {
        span.record("otel.name", format!("{} {route}", request.method()));
    }
    if let Some(parent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        ferrocart_telemetry::set_parent(&span, parent);
    }
    span
}

/// The client's own id if it is harmless; without one the trace is id enough.
fn request_id(request: &ServiceRequest) -> Option<String> {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
        .map(ToOwned::to_owned)
}

/// actix answers some faults itself (405, a malformed path) with a bare body.
fn problem_shaped(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let shaped = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("json"));
    if shaped || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
        _ if status.is_client_error() => "VALIDATION_ERROR",
        _ => "INTERNAL_ERROR",
    };
    let detail = status
        .canonical_reason()
        .unwrap_or("the request failed")
        .to_lowercase();
    let problem = Problem::new(status, code, detail);
    let (request, old) = response.into_parts();
    let mut fresh: HttpResponse = problem.error_response();
    if let Some(allow) = old.headers().get("allow") {
        fresh
            .headers_mut()
            .insert(HeaderName::from_static("allow"), allow.clone());
    }
    ServiceResponse::new(request, fresh)
}

fn with_ids(
    mut response: ServiceResponse<BoxBody>,
    point: Option<TracePoint>,
    request_id: Option<String>,
) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    let mut insert = |name, value: Option<String>| {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    insert("traceparent", point.map(|point| point.traceparent()));
    insert(
        REQUEST_ID,
        request_id.or_else(|| point.map(|point| point.trace_id())),
    );
    response
}

fn record(what: (&Method, &str, StatusCode), started: Instant, point: Option<TracePoint>) {
    let elapsed = started.elapsed();
    RECORDER.with_borrow_mut(|recorder| recorder.count(what, elapsed, point));
    let (method, route, status) = what;
    let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    // Reads are many and alike; what changes something is worth a line each, up to a bound.
    if status < 500 && (method == Method::GET || !LOG_BUDGET.takes_one()) {
        tracing::debug!(http.method = %method, http.route = route, http.status = status, duration_us, "request");
    } else {
        tracing::info!(http.method = %method, http.route = route, http.status = status, duration_us, "request");
    }
}
