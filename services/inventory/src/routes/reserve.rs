use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, FieldError, IdempotencyKey, Json, Problem, ProblemBody, detached};
use ferrocart_types::{Quantity, SkuId};

use crate::app::once;
use crate::batcher::Reserve;
use crate::domain::{Ask, HoldSeconds, Lines, Refusal, Refused, Reservation, Verdict};
use crate::error::ServiceError;
use crate::routes::idempotency::{self, request_key_of, stored};
use crate::routes::{
    AppState, ReservationDto, ReserveDto, actor, bound_to, parse_order, parse_sku, parse_user, require_mover,
    require_own,
};

/// Set units aside for an order
///
/// All lines or none. An order has one reservation: the same order again gets the same answer, with
/// `Idempotent-Replayed: true`.
#[utoipa::path(post, path = "/v1/inventory/reserve", operation_id = "reserve_stock", tag = "inventory", request_body = ReserveDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users; what makes a request the same is its order")),
    responses((status = 201, body = ReservationDto),
        (status = 400, body = ProblemBody,
            description = "VALIDATION_ERROR, INVALID_ORDER_ID, INVALID_PRODUCT_ID, INVALID_QUANTITY, BUYER_REQUIRED, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INSUFFICIENT_STOCK, RESERVATION_ALREADY_RELEASED, SALE_NOT_STARTED, PURCHASE_LIMIT_EXCEEDED"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED: the order reserved other units"),
        (status = 503, body = ProblemBody, description = "OVERLOADED, DEPENDENCY_UNAVAILABLE: retry with the same order")))]
pub(crate) async fn reserve(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReserveDto>,
) -> Result<HttpResponse, ServiceError> {
    require_mover(&caller)?;
    match caller {
        // What follows for users is much more, and the future of every call would have to have room for it.
        Caller::User(_) => Box::pin(reserve_for_user(caller, state, request, body)).await,
        Caller::Service(_) => {
            let ask = parse_ask(&body.value, &state)?;
            turn_away(&state, &ask, &body.value)?;
            let request = Reserve {
                ask,
                actor: actor(&caller),
            };
            let (reservation, replayed) = reserved(&state, request, &body.value).await?;
            Ok(created(&reservation, replayed))
        }
    }
}

/// A user reserves units of SKUs of their own, under a key.
async fn reserve_for_user(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<ReserveDto>,
) -> Result<HttpResponse, ServiceError> {
    let key = IdempotencyKey::extract(&request).await?;
    let key = request_key_of(&caller, &request, &key, &body.raw);
    let ask = parse_ask(&body.value, &state)?;
    if bound_to(&caller).is_some() {
        let skus: Vec<SkuId> = ask.lines.iter().map(|line| line.sku).collect();
        let named = body.value.items.iter().enumerate();
        let named = named
            .filter_map(|(index, item)| Some((format!("items[{index}].sku_id"), item.sku_id.parse().ok()?)));
        let checked = require_own(&caller, &state, &skus).await;
        checked.map_err(|error| error.naming(named))?;
    }
    turn_away(&state, &ask, &body.value)?;
    let resource = ask.order_id.as_uuid();
    let request = Reserve {
        ask,
        actor: actor(&caller),
    };
    let answered = detached("reserve", async move {
        let work = async {
            let (reservation, _) = reserved(&state, request, &body.value).await?;
            Ok(stored(StatusCode::CREATED, &ReservationDto::from(&reservation)))
        };
        once(&state.pool, &state.clock, &key, resource, work).await
    })
    .await?;
    Ok(idempotency::respond(answered))
}

/// What is surely sold out is refused without a look at the database.
fn turn_away(state: &AppState, ask: &Ask, body: &ReserveDto) -> Result<(), ServiceError> {
    let Some(shortages) = state.batcher.shortages(ask) else {
        return Ok(());
    };
    state.meter.count(&ask.lines, false);
    Err(refusal(Refused::Insufficient(shortages), |sku| {
        field_of(sku, body)
    }))
}

/// The reservation, and whether it stood before.
async fn reserved(
    state: &AppState,
    request: Reserve,
    body: &ReserveDto,
) -> Result<(Reservation, bool), ServiceError> {
    let lines = request.ask.lines.clone();
    let verdict = state.batcher.reserve(request).await?;
    state.meter.count(&lines, !matches!(verdict, Verdict::Refused(_)));
    match verdict {
        Verdict::Granted(reservation) => Ok((reservation, false)),
        Verdict::Existing(reservation) => Ok((reservation, true)),
        Verdict::Refused(refused) => Err(refusal(refused, |sku| field_of(sku, body))),
    }
}

fn parse_ask(body: &ReserveDto, state: &AppState) -> Result<Ask, Problem> {
    let order_id = parse_order("order_id", &body.order_id)?;
    let buyer = body.buyer_id.as_deref().map(|id| parse_user("buyer_id", id));
    let lines = body.items.iter().enumerate().map(|(index, item)| {
        let sku = parse_sku(&format!("items[{index}].sku_id"), &item.sku_id)?;
        let quantity = Quantity::new(item.quantity).map_err(|error| {
            let field = format!("items[{index}].quantity");
            Problem::bad_request("INVALID_QUANTITY", format!("{field}: {error}")).field(field, error)
        })?;
        Ok((sku, quantity))
    });
    let lines: Vec<(SkuId, Quantity)> = lines.collect::<Result<_, Problem>>()?;
    let lines = Lines::sum_up(&lines).map_err(|error| Problem::invalid_field("items", error))?;
    let hold = body
        .hold_seconds
        .map_or(Ok(state.hold_default), HoldSeconds::new)
        .map_err(|error| Problem::invalid_field("hold_seconds", error))?;
    Ok(Ask {
        order_id,
        buyer: buyer.transpose()?,
        lines,
        expires_at: state.clock.now() + hold.as_delta(),
    })
}

fn created(reservation: &Reservation, replayed: bool) -> HttpResponse {
    let mut answer = HttpResponse::Created();
    answer.insert_header((
        "location",
        format!("/v1/inventory/reservations/{}", reservation.id()),
    ));
    if replayed {
        answer.insert_header(("idempotent-replayed", "true"));
    }
    answer.json(ReservationDto::from(reservation))
}

/// `field` says where the SKU stands in the request.
pub(super) fn refusal(refused: Refused, field: impl Fn(SkuId) -> String) -> ServiceError {
    match refused {
        Refused::Released(reason) => Refusal::AlreadyReleased(reason).into(),
        Refused::OrderReused => ServiceError::OrderReused,
        Refused::UnknownSkus(skus) => {
            let error = ServiceError::ProductNotFound(skus.clone());
            naming(&error, &skus, "no stock is kept for it", field)
        }
        Refused::SaleNotStarted(skus) => {
            let error = ServiceError::SaleNotStarted(skus.clone());
            naming(&error, &skus, "its sale has not started", field)
        }
        Refused::BuyerUnknown(skus) => ServiceError::BuyerUnknown(skus)
            .problem()
            .field("buyer_id", "is required in a flash sale")
            .into(),
        Refused::LimitExceeded(excesses) => {
            let errors = excesses.iter().map(|excess| FieldError {
                field: field(excess.sku),
                reason: format!(
                    "{}: {} requested, {} bought, {} allowed",
                    excess.sku, excess.requested, excess.bought, excess.max
                ),
            });
            let errors = errors.collect();
            ServiceError::LimitExceeded(excesses)
                .problem()
                .fields(errors)
                .into()
        }
        Refused::Insufficient(shortages) => {
            let errors = shortages.iter().map(|shortage| FieldError {
                field: field(shortage.sku),
                reason: format!(
                    "{}: {} requested, {} available",
                    shortage.sku, shortage.requested, shortage.available
                ),
            });
            let errors = errors.collect();
            let problem = ServiceError::InsufficientStock(shortages).problem();
            problem.fields(errors).into()
        }
    }
}

/// The refusal, with the lines that are at fault.
fn naming(
    error: &ServiceError,
    skus: &[SkuId],
    reason: &str,
    field: impl Fn(SkuId) -> String,
) -> ServiceError {
    let errors = skus.iter().map(|sku| FieldError {
        field: field(*sku),
        reason: format!("{sku}: {reason}"),
    });
    error.problem().fields(errors.collect()).into()
}

/// The first line that names the SKU.
fn field_of(sku: SkuId, body: &ReserveDto) -> String {
    let index = body
        .items
        .iter()
        .position(|item| item.sku_id.parse() == Ok(sku))
        .unwrap_or_default();
    format!("items[{index}].sku_id")
}
