use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{FromRequest as _, HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, detached};
use ferrocart_types::{OrderId, SkuId};

use crate::app::once;
use crate::batcher::{Move, Moved};
use crate::domain::{Command, HoldSeconds, ReleaseReason, Reservation, order_of};
use crate::error::ServiceError;
use crate::routes::idempotency::{self, request_key_of, stored};
use crate::routes::{
    AppState, ExtendDto, RESERVERS, ReleaseDto, ReservationCommandDto, ReservationDto, actor, bound_to,
    parse_order, parse_reservation, require_mover, require_own, require_service,
};

/// Make a reservation last
///
/// It no longer expires. Confirming it again changes nothing.
#[utoipa::path(post, path = "/v1/inventory/confirm", operation_id = "confirm_reservation", tag = "inventory",
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
    command_named(&caller, state, &request, &body, Command::Confirm).await
}

/// Put reserved units back on sale
///
/// Releasing again changes nothing; the first reason stays. A service may name the order instead: an order
/// that has no reservation yet then never gets one.
#[utoipa::path(post, path = "/v1/inventory/release", operation_id = "release_reservation", tag = "inventory",
    request_body = ReleaseDto, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody,
            description = "VALIDATION_ERROR, INVALID_RESERVATION_ID, INVALID_ORDER_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "RESERVATION_ALREADY_DEDUCTED"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn release(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReleaseDto>,
) -> Result<HttpResponse, ServiceError> {
    let reason = match body.value.reason.as_deref().map(str::parse) {
        None => ReleaseReason::Cancelled,
        Some(Ok(reason @ (ReleaseReason::Cancelled | ReleaseReason::PaymentFailed))) => reason,
        // Only time makes a reservation expire.
        Some(_) => {
            return Err(Problem::invalid_field("reason", "must be CANCELLED or PAYMENT_FAILED").into());
        }
    };
    match (&body.value.reservation_id, &body.value.order_id) {
        (Some(reservation), None) => {
            let asked = Asked {
                order_id: order_of(parse_reservation("reservation_id", reservation)?),
                command: Command::Release(reason),
            };
            command(&caller, state, &request, &body.raw, asked).await
        }
        (None, Some(order)) => {
            require_service(&caller)?;
            let asked = Asked {
                order_id: parse_order("order_id", order)?,
                command: Command::Abandon(reason),
            };
            command(&caller, state, &request, &body.raw, asked).await
        }
        _ => Err(Problem::invalid_field("reservation_id", "this or order_id is needed").into()),
    }
}

/// Let a reservation last longer
///
/// While a payment is under way. Never longer than an hour after it was made, and never shorter than it
/// would; what is over stays over.
#[utoipa::path(post, path = "/v1/inventory/extend", tag = "inventory",
    request_body = ExtendDto, security(("bearer" = [])),
    responses((status = 200, body = ReservationDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_RESERVATION_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody, description = "FORBIDDEN: not a service"),
        (status = 404, body = ProblemBody, description = "RESERVATION_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "RESERVATION_ALREADY_RELEASED, RESERVATION_ALREADY_DEDUCTED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn extend(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ExtendDto>,
) -> Result<HttpResponse, ServiceError> {
    require_service(&caller)?;
    let lasts = HoldSeconds::new(body.value.hold_seconds)
        .map_err(|error| Problem::invalid_field("hold_seconds", error))?;
    let asked = Asked {
        order_id: order_of(parse_reservation("reservation_id", &body.value.reservation_id)?),
        command: Command::Extend(state.clock.now() + lasts.as_delta()),
    };
    command(&caller, state, &request, &body.raw, asked).await
}

/// Take the units of a confirmed reservation out of the warehouse
#[utoipa::path(post, path = "/v1/inventory/deduct", operation_id = "deduct_reservation", tag = "inventory",
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
    command_named(&caller, state, &request, &body, Command::Deduct).await
}

/// What is asked of which order's reservation.
struct Asked {
    order_id: OrderId,
    command: Command,
}

async fn command_named(
    caller: &Caller,
    state: Data<AppState>,
    request: &HttpRequest,
    body: &Json<ReservationCommandDto>,
    asked: Command,
) -> Result<HttpResponse, ServiceError> {
    require_mover(caller)?;
    let reservation_id = parse_reservation("reservation_id", &body.value.reservation_id)?;
    let asked = Asked {
        order_id: order_of(reservation_id),
        command: asked,
    };
    command(caller, state, request, &body.raw, asked).await
}

async fn command(
    caller: &Caller,
    state: Data<AppState>,
    request: &HttpRequest,
    body: &[u8],
    Asked { order_id, command }: Asked,
) -> Result<HttpResponse, ServiceError> {
    require_mover(caller)?;
    let asked = Move {
        order_id,
        command,
        actor: actor(caller),
    };
    match caller {
        Caller::User(_) => Box::pin(command_of_user(caller, state, request, body, asked)).await,
        Caller::Service(_) => {
            let reservation = moved(&state, asked).await?;
            Ok(HttpResponse::Ok().json(ReservationDto::from(&reservation)))
        }
    }
}

/// A user moves a reservation of their own SKUs, under a key.
async fn command_of_user(
    caller: &Caller,
    state: Data<AppState>,
    request: &HttpRequest,
    body: &[u8],
    asked: Move,
) -> Result<HttpResponse, ServiceError> {
    let order_id = asked.order_id;
    let key = IdempotencyKey::extract(request).await?;
    let key = request_key_of(caller, request, &key, body);
    if bound_to(caller).is_some() {
        find_own(caller, &state, order_id).await?;
    }
    let answered = detached("reservation-command", async move {
        let work = async {
            let reservation = moved(&state, asked).await?;
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
    let reservation = state
        .batcher
        .find(&state.pool, order_id)
        .await?
        .ok_or(ServiceError::ReservationNotFound)?;
    let skus: Vec<SkuId> = reservation.lines.iter().map(|line| line.sku).collect();
    require_own(caller, state, &skus).await?;
    Ok(reservation)
}
