use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, IdempotencyKey, Problem};
use ferrocart_pg_kit::idempotency::{RequestKey, StoredResponse};
use serde::{Deserialize, Serialize};

use crate::app::Answered;

/// The key of a request that moves stock: required of users. What a service asks for is told apart by the
/// ids in it, so it may leave the key out.
///
/// Called after the check of the role: who may not do it needs no key to be told so.
pub(super) async fn request_key(
    caller: &Caller,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Option<RequestKey>, Problem> {
    let key = match (caller, IdempotencyKey::extract(request).await) {
        (_, Ok(key)) => key,
        (Caller::Service(_), Err(_)) if !request.headers().contains_key("idempotency-key") => {
            return Ok(None);
        }
        (_, Err(problem)) => return Err(problem),
    };
    Ok(Some(request_key_of(caller, request, &key, body)))
}

/// For what is batched and idempotent by its ids, a service's key is passed over: keeping its answer would cost it
/// transactions of its own.
pub(super) fn request_key_of(
    caller: &Caller,
    request: &HttpRequest,
    key: &IdempotencyKey,
    body: &[u8],
) -> RequestKey {
    let method = request.method().as_str().as_bytes();
    RequestKey::new(
        caller.scope(),
        key.0.as_str(),
        &[method, request.path().as_bytes(), body],
    )
}

pub(super) fn stored(status: StatusCode, body: &impl Serialize) -> StoredResponse {
    StoredResponse {
        status: status.as_u16(),
        body: serde_json::to_vec(body).unwrap_or_default(),
    }
}

/// What stands in a body and in a header as well.
#[derive(Debug, Default, Deserialize)]
struct InHeaders {
    version: Option<i64>,
    reservation_id: Option<String>,
    hold_id: Option<String>,
}

/// The same answer whether it is made now or was kept.
pub(super) fn respond(answered: Answered) -> HttpResponse {
    let (response, replayed) = match answered {
        Answered::Fresh(response) => (response, false),
        Answered::Replayed(response) => (response, true),
    };
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    let known: InHeaders = serde_json::from_slice(&response.body).unwrap_or_default();
    let mut answer = HttpResponse::build(status);
    answer.insert_header((CONTENT_TYPE, "application/json"));
    if let Some(version) = known.version {
        answer.insert_header((ETAG, format!("\"{version}\"")));
    }
    if status == StatusCode::CREATED {
        if let Some(id) = known.reservation_id {
            answer.insert_header((LOCATION, format!("/v1/inventory/reservations/{id}")));
        }
        if let Some(id) = known.hold_id {
            answer.insert_header((LOCATION, format!("/v1/holds/{id}")));
        }
    }
    if replayed {
        answer.insert_header(("idempotent-replayed", "true"));
    }
    answer.body(response.body)
}
