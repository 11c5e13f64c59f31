use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, Role, detached};
use ferrocart_types::{OrderId, Quantity, UserId};

use crate::app::{HoldRequest, once_for};
use crate::domain::{Lines, Refused, Verdict};
use crate::error::ServiceError;
use crate::routes::dto::{HoldDto, PlaceHoldDto};
use crate::routes::idempotency::{request_key_of, respond, stored};
use crate::routes::reserve::refusal;
use crate::routes::{AppState, actor, parse_reservation, parse_sku};

/// Hold units for a short time
///
/// Nobody else can buy them until the hold expires. `POST /v1/orders` makes an order of it.
#[utoipa::path(post, path = "/v1/holds", operation_id = "place_hold", tag = "holds", request_body = PlaceHoldDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "One for each request, the same with a retry")),
    responses((status = 201, body = HoldDto, headers(("Location" = String))),
        (status = 400, body = ProblemBody,
            description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, INVALID_QUANTITY, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 409, body = ProblemBody,
            description = "INSUFFICIENT_STOCK, SALE_NOT_STARTED, PURCHASE_LIMIT_EXCEEDED, HOLD_EXPIRED, REQUEST_IN_PROGRESS"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE: retry with the same key")))]
pub(crate) async fn place(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    key: IdempotencyKey,
    body: Json<PlaceHoldDto>,
) -> Result<HttpResponse, ServiceError> {
    let buyer = buyer(&caller)?;
    let sku = parse_sku("sku_id", &body.value.sku_id)?;
    let quantity = Quantity::new(body.value.quantity).map_err(|error| {
        Problem::bad_request("INVALID_QUANTITY", format!("quantity: {error}")).field("quantity", error)
    })?;
    let lines =
        Lines::sum_up(&[(sku, quantity)]).map_err(|error| Problem::invalid_field("quantity", error))?;
    let key = request_key_of(&caller, &request, &key, &body.raw);
    let actor = actor(&caller);
    let fresh = state.ids.next();
    let answered = detached("hold", async move {
        once_for(&state.pool, &state.clock, &key, fresh, |order| {
            let (desk, order_id) = (state.holds.clone(), OrderId(order));
            async move {
                let request = HoldRequest {
                    buyer,
                    order_id,
                    lines,
                    actor,
                };
                let hold = match desk.place(request).await? {
                    Verdict::Granted(hold) | Verdict::Existing(hold) => hold,
                    // The request came before, was cut off, and comes again too late.
                    Verdict::Refused(Refused::Released(_)) => return Err(ServiceError::HoldExpired),
                    Verdict::Refused(refused) => return Err(refusal(refused, |_| "sku_id".to_owned())),
                };
                Ok(stored(StatusCode::CREATED, &HoldDto::from(&hold)))
            }
        })
        .await
    })
    .await?;
    Ok(respond(answered))
}

/// A hold as it is now
#[utoipa::path(get, path = "/v1/holds/{hold_id}", tag = "holds", security(("bearer" = [])),
    params(("hold_id" = String, Path, description = "The hold")),
    responses((status = 200, body = HoldDto),
        (status = 400, body = ProblemBody, description = "INVALID_RESERVATION_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "HOLD_NOT_FOUND: or another buyer's"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_hold(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let buyer = buyer(&caller)?;
    let id = parse_reservation("hold_id", &path)?;
    let hold = state.holds.find(buyer, id).await?;
    Ok(HttpResponse::Ok().json(HoldDto::from(&hold)))
}

/// Let a hold go
///
/// Its units are for sale again. An order that waits for its payment with them is cancelled.
#[utoipa::path(delete, path = "/v1/holds/{hold_id}", tag = "holds", security(("bearer" = [])),
    params(("hold_id" = String, Path, description = "The hold")),
    responses((status = 200, body = HoldDto),
        (status = 400, body = ProblemBody, description = "INVALID_RESERVATION_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "HOLD_NOT_FOUND: or another buyer's"),
        (status = 409, body = ProblemBody, description = "HOLD_ALREADY_REDEEMED: the units belong to an order"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn release_hold(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let buyer = buyer(&caller)?;
    let id = parse_reservation("hold_id", &path)?;
    let hold = state.holds.give_back(buyer, id, actor(&caller)).await?;
    Ok(HttpResponse::Ok().json(HoldDto::from(&hold)))
}

fn buyer(caller: &Caller) -> Result<UserId, Problem> {
    caller.require_any(&[Role::Customer])?;
    Ok(caller.user()?.user_id)
}
