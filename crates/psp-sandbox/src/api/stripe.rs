//! `/v1`: Stripe's API.

use super::call::{Call, Read, Write};
use super::error::ApiError;
use super::form::Form;
use super::{App, Who, hang_up, problem, publishable, read};
use crate::ledger::draft::Manner;
use crate::ledger::{Begun, Executed, Key};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// How long a request that is never answered is held up.
const HOLD: Duration = Duration::from_mins(1);
const SLOW: Duration = Duration::from_secs(3);
const KEY_CHARS_MAX: usize = 255;

struct Reply {
    status: u16,
    body: String,
    /// The id of the request that was answered first.
    replay_of: Option<String>,
}

enum Served {
    Reply(Reply),
    HangUp,
}

pub(crate) async fn serve(
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    app: web::Data<App>,
) -> HttpResponse {
    let started = Instant::now();
    let id = app.request_id();
    let mut response = match answer(&app, &request, body, &id).await {
        Ok(Served::Reply(reply)) => respond(reply),
        Ok(Served::HangUp) => hang_up(&request),
        Err(error) => problem(&error),
    };
    // Neither parameters nor keys: they are the customer's.
    tracing::debug!(
        request = %id,
        method = %request.method(),
        path = request.path(),
        status = response.status().as_u16(),
        elapsed_us = started.elapsed().as_micros(),
        "answered"
    );
    let version = request.headers().get("stripe-version").cloned();
    let version = version.unwrap_or_else(|| HeaderValue::from_static(super::view::API_VERSION));
    response
        .headers_mut()
        .insert(HeaderName::from_static("stripe-version"), version);
    if let Some(key) = request.headers().get("idempotency-key") {
        response
            .headers_mut()
            .insert(HeaderName::from_static("idempotency-key"), key.clone());
    }
    insert_id(&mut response, "request-id", &id);
    response
}

fn insert_id(response: &mut HttpResponse, name: &'static str, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}

fn respond(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status)
        .content_type("application/json")
        .body(reply.body);
    if let Some(first) = reply.replay_of {
        response.headers_mut().insert(
            HeaderName::from_static("idempotent-replayed"),
            HeaderValue::from_static("true"),
        );
        insert_id(&mut response, "original-request", &first);
    }
    response
}

async fn answer(
    app: &App,
    request: &HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    id: &str,
) -> Result<Served, ApiError> {
    let method = request.method().as_str();
    let Some(path) = request.path().strip_prefix("/v1/") else {
        return Err(ApiError::unknown_route(method, request.path()));
    };
    let who = app.authenticate(request.headers())?;
    let body = body.map_err(|_| ApiError::malformed("The request's body could not be read."))?;
    let fate = app.faults.meet(method == "POST");
    let passed = tokio::select! {
        passed = app.faults.pass(HOLD) => passed,
        () = app.end() => false,
    };
    if !passed {
        return Ok(Served::HangUp);
    }
    if let Some(status) = fate.fail {
        app.hold(fate.latency).await;
        return Err(ApiError::injected(status));
    }
    let mut form = Form::parse(request.query_string(), &body)?;
    let key = key(request, &form)?;
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    if who == Who::Customer {
        publishable::permit(app.ledger.viewer(), method, &segments, &mut form)?;
    }
    let (call, expand) = Call::parse(method, &segments, form)?;
    let served = match call {
        Call::Read(read) => answer_read(app, read, expand, fate.latency).await?,
        Call::Write(write) => answer_write(app, (write, key, expand), id, fate.latency).await?,
    };
    Ok(match served {
        _ if fate.drop_answer => Served::HangUp,
        Served::Reply(reply) if who == Who::Customer => Served::Reply(Reply {
            body: publishable::trim(&reply.body)?,
            ..reply
        }),
        served => served,
    })
}

/// The idempotency key of a POST, with the hash of the endpoint and its parameters.
fn key(request: &HttpRequest, form: &Form) -> Result<Option<Key>, ApiError> {
    if request.method() != actix_web::http::Method::POST {
        return Ok(None);
    }
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| !key.is_empty() && key.len() <= KEY_CHARS_MAX);
    let Some(key) = key else {
        return Err(ApiError::malformed(
            "An Idempotency-Key has 1 to 255 visible characters.",
        ));
    };
    let digest = Sha256::new()
        .chain_update(request.path())
        .chain_update([0])
        .chain_update(form.canonical())
        .finalize();
    Ok(Some(Key {
        key: key.to_owned(),
        hash: hex::encode(digest),
    }))
}

async fn answer_read(app: &App, call: Read, expand: bool, latency: Duration) -> Result<Served, ApiError> {
    let body = read::read(&app.ledger, call, expand).await?;
    app.hold(latency).await;
    Ok(Served::Reply(Reply {
        status: 200,
        body,
        replay_of: None,
    }))
}

async fn answer_write(
    app: &App,
    (write, key, expand): (Write, Option<Key>, bool),
    id: &str,
    latency: Duration,
) -> Result<Served, ApiError> {
    match app.ledger.begin(write, key, expand, id)? {
        Begun::Replay(answer) => {
            let body = app.ledger.journal.read(answer.body).await?;
            app.hold(latency).await;
            let replay_of = Some(answer.request_id);
            Ok(Served::Reply(Reply {
                status: answer.status,
                body,
                replay_of,
            }))
        }
        Begun::Executed(Executed {
            status,
            body,
            manner,
            end,
            answering,
        }) => {
            app.ledger.journal.durable(end).await?;
            app.hold(latency).await;
            match manner {
                Manner::Prompt => {}
                Manner::Slow => app.hold(SLOW).await,
                Manner::Never => {
                    // For the provider the request is over: a repeat of its key is answered.
                    drop(answering);
                    app.hold(HOLD).await;
                    return Ok(Served::HangUp);
                }
                Manner::Lost => return Ok(Served::HangUp),
            }
            drop(answering);
            Ok(Served::Reply(Reply {
                status,
                body,
                replay_of: None,
            }))
        }
    }
}
