use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, Json, Problem, ProblemBody, detached};
use ferrocart_types::{OrderId, SkuId};

use crate::app::once;
use crate::batcher::{Move, Moved};
use crate::domain::{Command, ReleaseReason, Reservation, order_of};
use crate::error::ServiceError;
use crate::routes::idempotency::{self, stored, user_key};
use crate::routes::{
    AppState, RESERVERS, ReservationCommandDto, ReservationDto, actor, bound_to, parse_reservation,
    require_own,
};
use crate::store;

/// Make a reservation last
///
/// It no longer expires. Confirming it again changes nothing.
#[utoipa::path(post, path = "/v1/inventory/confirm", tag = "inventory",
    request_body = ReservationCommandDto, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_RESERVATION_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "RESERVATION_ALREADY_RELEASED, RESERVATION_ALREADY_DEDUCTED"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn confirm(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReservationCommandDto>,
) -> Result<HttpResponse, ServiceError> {
    command(&caller, state, &request, &body, Command::Confirm).await
}

/// Put reserved units back on sale
///
/// Releasing again changes nothing; the first reason stays.
#[utoipa::path(post, path = "/v1/inventory/release", tag = "inventory",
    request_body = ReservationCommandDto, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_RESERVATION_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "RESERVATION_ALREADY_DEDUCTED"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn release(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReservationCommandDto>,
) -> Result<HttpResponse, ServiceError> {
    let reason = match body.value.reason.as_deref().map(str::parse) {
        None => ReleaseReason::Cancelled,
        Some(Ok(reason @ (ReleaseReason::Cancelled | ReleaseReason::PaymentFailed))) => reason,
        // Only time makes a reservation expire.
        Some(_) => {
            return Err(Problem::invalid_field("reason", "must be CANCELLED or PAYMENT_FAILED").into());
        }
    };
    command(&caller, state, &request, &body, Command::Release(reason)).await
}

/// Take the units of a confirmed reservation out of the warehouse
#[utoipa::path(post, path = "/v1/inventory/deduct", tag = "inventory",
    request_body = ReservationCommandDto, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_RESERVATION_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "RESERVATION_ALREADY_RELEASED; INVALID_STOCK_STATE: not confirmed"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn deduct(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReservationCommandDto>,
) -> Result<HttpResponse, ServiceError> {
    command(&caller, state, &request, &body, Command::Deduct).await
}

async fn command(
    caller: &Caller,
    state: Data<AppState>,
    request: &HttpRequest,
    body: &Json<ReservationCommandDto>,
    command: Command,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&RESERVERS)?;
    let key = user_key(caller, request, &body.raw).await?;
    let reservation_id = parse_reservation("reservation_id", &body.value.reservation_id)?;
    let order_id = order_of(reservation_id);
    if bound_to(caller).is_some() {
        find_own(caller, &state, order_id).await?;
    }
    let request = Move {
        order_id,
        command,
        actor: actor(caller),
    };
    let Some(key) = key else {
        let reservation = moved(&state, request).await?;
        return Ok(HttpResponse::Ok().json(ReservationDto::from(&reservation)));
    };
    let answered = detached("reservation-command", async move {
        let work = async {
            let reservation = moved(&state, request).await?;
            Ok(stored(StatusCode::OK, &ReservationDto::from(&reservation)))
        };
        once(&state.pool, &state.clock, &key, order_id.as_uuid(), work).await
    })
    .await?;
    Ok(idempotency::respond(answered))
}

async fn moved(state: &AppState, request: Move) -> Result<Reservation, ServiceError> {
    match state.batcher.command(request).await? {
        Moved::Done(reservation) => Ok(reservation),
        Moved::Refused(refusal) => Err(refusal.into()),
        Moved::NotFound => Err(ServiceError::ReservationNotFound),
    }
}

/// A reservation as it is now
#[utoipa::path(get, path = "/v1/inventory/reservations/{reservation_id}", tag = "inventory",
    security(("bearer" = [])),
    params(("reservation_id" = String, Path, description = "The reservation")),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody, description = "INVALID_RESERVATION_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_reservation(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&RESERVERS)?;
    let order_id = order_of(parse_reservation("reservation_id", &path)?);
    let reservation = find_own(&caller, &state, order_id)
        .await?
        .seen_at(state.clock.now());
    Ok(HttpResponse::Ok().json(ReservationDto::from(&reservation)))
}

/// A merchant sees and moves the reservations of their own SKUs alone; what an order also holds of
/// others' is none of theirs.
async fn find_own(caller: &Caller, state: &AppState, order_id: OrderId) -> Result<Reservation, ServiceError> {
    let mut conn = state.pool.acquire().await?;
    let found = store::find(&mut conn, &[order_id]).await?.remove(&order_id);
    drop(conn);
    let reservation = found.ok_or(ServiceError::ReservationNotFound)?;
    let skus: Vec<SkuId> = reservation.lines.iter().map(|line| line.sku).collect();
    require_own(caller, state, &skus).await?;
    Ok(reservation)
}
