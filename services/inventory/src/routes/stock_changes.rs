use actix_web::http::StatusCode;
use actix_web::http::header::IF_MATCH;
use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, detached};
use ferrocart_pg_kit::idempotency::StoredResponse;
use ferrocart_types::SkuId;

use crate::app::{Adjustment, Created, Initialisation};
use crate::domain::{Channel, Counters};
use crate::error::ServiceError;
use crate::routes::idempotency::{self, request_key, request_key_of, stored};
use crate::routes::stock::respond;
use crate::routes::{
    AdjustDto, AppState, InitialiseBatchDto, InitialiseDto, STOCK_WRITERS, SetDto, StockDto, StockOutcomeDto,
    StockOutcomeListDto, actor, bound_to, parse_sku, require_own,
};

/// Give a SKU its first stock
///
/// With the same key and body again it changes nothing and gets the first answer. With another key it is
/// answered 409: a SKU has its first stock once.
#[utoipa::path(post, path = "/v1/inventory", operation_id = "initialise_stock", tag = "inventory", request_body = InitialiseDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 201, body = StockDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND: the catalog does not know it"),
        (status = 409, body = ProblemBody, description = "INVALID_STOCK_STATE: it has stock"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn initialise(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<InitialiseDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let key = request_key(&caller, &request, &body.raw).await?;
    let sku = parse_sku("sku_id", &body.value.sku_id)?;
    let first = Initialisation {
        items: vec![(sku, body.value.on_hand)],
        merchant: bound_to(&caller),
    };
    require_listed(&state, &first, |_| "sku_id".to_owned()).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let answered = detached("stock-initialise", async move {
        desk.initialise(first, key, actor, created).await
    })
    .await?;
    Ok(idempotency::respond(answered))
}

fn created(made: &[Created]) -> Result<StoredResponse, ServiceError> {
    match made.first() {
        Some(made) if made.created => Ok(stored(
            StatusCode::CREATED,
            &StockDto::new(made.sku, made.counters),
        )),
        _ => Err(ServiceError::StockExists),
    }
}

/// Give many SKUs their first stock
///
/// SKUs that have stock keep it and are marked `existing`, so it can be repeated.
#[utoipa::path(post, path = "/v1/inventory:batch", operation_id = "initialise_stocks", tag = "inventory", request_body = InitialiseBatchDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 200, body = StockOutcomeListDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: some are another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND: the catalog does not know some"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn initialise_batch(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<InitialiseBatchDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let key = request_key(&caller, &request, &body.raw).await?;
    let items = body.value.items.iter().enumerate().map(|(index, item)| {
        parse_sku(&format!("items[{index}].sku_id"), &item.sku_id).map(|sku| (sku, item.on_hand))
    });
    let first = Initialisation {
        items: items.collect::<Result<_, _>>()?,
        merchant: bound_to(&caller),
    };
    require_listed(&state, &first, |index| format!("items[{index}].sku_id")).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let answered = detached("stock-initialise-batch", async move {
        desk.initialise(first, key, actor, created_many).await
    })
    .await?;
    Ok(idempotency::respond(answered))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature that the desk calls")]
fn created_many(made: &[Created]) -> Result<StoredResponse, ServiceError> {
    let items = made.iter().copied().map(StockOutcomeDto::from).collect();
    Ok(stored(StatusCode::OK, &StockOutcomeListDto { items }))
}

/// A merchant gives stock to what the catalog lists as theirs. `field` names where an item stands.
async fn require_listed(
    state: &AppState,
    first: &Initialisation,
    field: impl Fn(usize) -> String,
) -> Result<(), ServiceError> {
    let Some(merchant) = first.merchant else {
        return Ok(());
    };
    let skus: Vec<SkuId> = first.items.iter().map(|(sku, _)| *sku).collect();
    let checked = state.ownership.of_listed(merchant, &skus).await;
    let fields = skus.iter().enumerate().map(|(index, sku)| (field(index), *sku));
    checked.map_err(|error| error.naming(fields))
}

/// Set what is on hand
#[utoipa::path(put, path = "/v1/inventory/{sku_id}", tag = "inventory", request_body = SetDto,
    security(("bearer" = [])),
    params(("sku_id" = String, Path, description = "The SKU"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read: only if it still holds")),
    responses((status = 200, body = StockDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INVALID_STOCK_STATE: more is reserved"),
        (status = 412, body = ProblemBody, description = "PRECONDITION_FAILED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn set_stock(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
    request: HttpRequest,
    body: Json<SetDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let sku = parse_sku("sku_id", &path)?;
    let version = if_match(&request)?;
    require_own(&caller, &state, &[sku]).await?;
    let (desk, actor, on_hand) = (state.desk.clone(), actor(&caller), body.value.on_hand);
    let counters = detached("stock-set", async move {
        desk.set(sku, on_hand, version, actor).await
    })
    .await?;
    Ok(respond(sku, counters))
}

/// `*` matches whatever there is.
fn if_match(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(value) = request.headers().get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| Problem::invalid_field("If-Match", "must be the ETag of this resource, such as \"7\""))
}

/// Take a SKU off sale
///
/// What is available is written off; what is reserved may still be shipped.
#[utoipa::path(delete, path = "/v1/inventory/{sku_id}", operation_id = "discontinue_stock", tag = "inventory",
    security(("bearer" = [])),
    params(("sku_id" = String, Path, description = "The SKU")),
    responses((status = 204),
        (status = 400, body = ProblemBody, description = "INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn discontinue(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let sku = parse_sku("sku_id", &path)?;
    require_own(&caller, &state, &[sku]).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    detached(
        "stock-discontinue",
        async move { desk.discontinue(sku, actor).await },
    )
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Add or take units
#[utoipa::path(post, path = "/v1/inventory/{sku_id}/adjustments", operation_id = "adjust_stock", tag = "inventory",
    request_body = AdjustDto, security(("bearer" = [])),
    params(("sku_id" = String, Path, description = "The SKU"),
        ("Idempotency-Key" = String, Header, description = "One for each adjustment; the same with a retry")),
    responses((status = 200, body = StockDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INVALID_STOCK_STATE: more is reserved"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn adjust(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
    request: HttpRequest,
    body: Json<AdjustDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    // Nothing in the body tells an adjustment from another one like it: services need a key as well.
    let key = IdempotencyKey::extract(&request).await?;
    let key = request_key_of(&caller, &request, &key, &body.raw);
    let sku = parse_sku("sku_id", &path)?;
    let channel: Channel = body
        .value
        .channel
        .parse()
        .map_err(|error| Problem::invalid_field("channel", error))?;
    let adjustment = Adjustment {
        sku,
        delta: body.value.delta,
        reason: body.value.reason.clone(),
        channel,
    };
    require_own(&caller, &state, &[sku]).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let answered = detached("stock-adjust", async move {
        desk.adjust(adjustment, key, actor, adjusted).await
    })
    .await?;
    Ok(idempotency::respond(answered))
}

fn adjusted(sku: SkuId, counters: Counters) -> StoredResponse {
    stored(StatusCode::OK, &StockDto::new(sku, counters))
}
