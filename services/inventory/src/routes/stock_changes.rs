use actix_web::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, detached};
use ferrocart_pg_kit::idempotency::{RequestKey, StoredResponse};
use ferrocart_types::SkuId;

use crate::app::{Adjustment, Answered, Initialisation};
use crate::domain::{Channel, Counters};
use crate::error::ServiceError;
use crate::routes::stock::respond;
use crate::routes::{
    AdjustDto, AppState, InitialiseBatchDto, InitialiseDto, STOCK_WRITERS, SetDto, StockDto, StockOutcomeDto,
    StockOutcomeListDto, actor, bound_to, parse_sku, require_own,
};

/// Give a SKU its first stock
///
/// Repeating it changes nothing and is answered 409, whatever the key: a SKU has its first stock once.
#[utoipa::path(post, path = "/v1/inventory", tag = "inventory", request_body = InitialiseDto,
    security(("bearer" = [])),
    responses((status = 201, body = StockDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND: the catalog does not know it"),
        (status = 409, body = ProblemBody, description = "INVALID_STOCK_STATE: it has stock"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn initialise(
    caller: Caller,
    state: Data<AppState>,
    body: Json<InitialiseDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let sku = parse_sku("sku_id", &body.value.sku_id)?;
    let first = Initialisation {
        items: vec![(sku, body.value.on_hand)],
        merchant: bound_to(&caller),
    };
    require_listed(&state, &first, |_| "sku_id".to_owned()).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let made = detached(
        "stock-initialise",
        async move { desk.initialise(first, actor).await },
    )
    .await?;
    match made.first() {
        Some(made) if made.created => Ok(HttpResponse::Created()
            .insert_header((ETAG, format!("\"{}\"", made.counters.version)))
            .json(StockDto::new(sku, made.counters))),
        _ => Err(ServiceError::StockExists),
    }
}

/// Give many SKUs their first stock
///
/// SKUs that have stock keep it and are marked `existing`, so it can be repeated.
#[utoipa::path(post, path = "/v1/inventory:batch", tag = "inventory", request_body = InitialiseBatchDto,
    security(("bearer" = [])),
    responses((status = 200, body = StockOutcomeListDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: some are another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND: the catalog does not know some"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn initialise_batch(
    caller: Caller,
    state: Data<AppState>,
    body: Json<InitialiseBatchDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let items = body.value.items.iter().enumerate().map(|(index, item)| {
        parse_sku(&format!("items[{index}].sku_id"), &item.sku_id).map(|sku| (sku, item.on_hand))
    });
    let first = Initialisation {
        items: items.collect::<Result<_, _>>()?,
        merchant: bound_to(&caller),
    };
    require_listed(&state, &first, |index| format!("items[{index}].sku_id")).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let made = detached("stock-initialise-batch", async move {
        desk.initialise(first, actor).await
    })
    .await?;
    Ok(HttpResponse::Ok().json(StockOutcomeListDto {
        items: made.into_iter().map(StockOutcomeDto::from).collect(),
    }))
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
#[utoipa::path(delete, path = "/v1/inventory/{sku_id}", tag = "inventory",
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
#[utoipa::path(post, path = "/v1/inventory/{sku_id}/adjustments", tag = "inventory",
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
    // After the role: who may not adjust needs no key to be told so.
    request: HttpRequest,
    body: Json<AdjustDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let key = IdempotencyKey::extract(&request).await?;
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
    let target = [
        Method::POST.as_str().as_bytes(),
        request.path().as_bytes(),
        &body.raw,
    ];
    let key = RequestKey::new(caller.scope(), key.0, &target);
    require_own(&caller, &state, &[sku]).await?;
    let (desk, actor) = (state.desk.clone(), actor(&caller));
    let answered = detached("stock-adjust", async move {
        desk.adjust(adjustment, key, actor, stored).await
    })
    .await?;
    let (response, replayed) = match answered {
        Answered::Fresh(response) => (response, false),
        Answered::Replayed(response) => (response, true),
    };
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    let mut answer = HttpResponse::build(status);
    answer.insert_header((CONTENT_TYPE, "application/json"));
    if replayed {
        answer.insert_header(("idempotent-replayed", "true"));
    }
    Ok(answer.body(response.body))
}

fn stored(sku: SkuId, counters: Counters) -> StoredResponse {
    StoredResponse {
        status: StatusCode::OK.as_u16(),
        body: serde_json::to_vec(&StockDto::new(sku, counters)).unwrap_or_default(),
    }
}
