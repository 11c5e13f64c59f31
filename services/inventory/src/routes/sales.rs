use std::collections::VecDeque;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::SecondsFormat;
use ferrocart_http_kit::sse::{self, StreamSlot, Streams, Watcher};
use ferrocart_http_kit::{
    Caller, Json, Page, PageQuery, Problem, ProblemBody, Query, Role, detached, encode_cursor,
};
use ferrocart_types::{SkuId, Timestamp};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::admission::SHARDS_MAX;
use crate::app::View;
use crate::domain::{Counters, Sale, SaleCommand, SaleId, SaleState};
use crate::error::ServiceError;
use crate::routes::idempotency::{self, request_key, stored};
use crate::routes::{AppState, STOCK_WRITERS, bound_to, parse_sku, require_own};

const UNITS_PER_BUYER_MAX: i64 = 10_000;
const WAITLIST_UNITS_MAX: i64 = 1_000_000;
const WAITLIST_UNITS_DEFAULT: i64 = 10_000;
const SHARDS_DEFAULT: u16 = 1;

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSaleDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    sku_id: String,
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What one buyer may have of it.
    #[garde(range(min = 1, max = UNITS_PER_BUYER_MAX))]
    #[schema(minimum = 1, maximum = 10_000)]
    units_per_buyer_max: i64,
    /// For how many units buyers may wait in all; 10,000 by default, 0 for no waitlist.
    #[garde(range(min = 0, max = WAITLIST_UNITS_MAX))]
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    waitlist_units_max: Option<i64>,
    /// Over how many keys the counter in front of the database is spread: more for hotter SKUs.
    #[garde(range(min = 1, max = SHARDS_MAX))]
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    shards: Option<u16>,
    /// When it is preloaded and started by itself.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    starts_at: Option<Timestamp>,
    /// When it stops by itself.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    ends_at: Option<Timestamp>,
}

/// A flash sale of one SKU.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SaleDto {
    #[schema(format = "uuid")]
    sale_id: Uuid,
    #[schema(value_type = String, format = "uuid")]
    sku_id: SkuId,
    name: String,
    /// DRAFT, PRELOADED, LIVE or ENDED.
    #[schema(value_type = String, example = "LIVE")]
    state: &'static str,
    units_per_buyer_max: i64,
    waitlist_units_max: i64,
    shards: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    starts_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    ends_at: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
}

pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl From<&Sale> for SaleDto {
    fn from(sale: &Sale) -> Self {
        Self {
            sale_id: sale.sale.0,
            sku_id: sale.sku,
            name: sale.name.clone(),
            state: sale.state.as_str(),
            units_per_buyer_max: sale.units_per_buyer_max,
            waitlist_units_max: sale.waitlist_units_max,
            shards: sale.shards,
            starts_at: sale.starts_at.map(time),
            ends_at: sale.ends_at.map(time),
            created_at: time(sale.created_at),
        }
    }
}

/// Plan a flash sale
///
/// Of one SKU, which has one sale at a time. It is a draft until it is preloaded.
#[utoipa::path(post, path = "/v1/flash-sales", tag = "flash-sales", request_body = NewSaleDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Required of users: one for each request, the same with a retry")),
    responses((status = 201, body = SaleDto),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND: no stock is kept for it"),
        (status = 409, body = ProblemBody, description = "SALE_EXISTS: the SKU has one that is not over"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn create_sale(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<NewSaleDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let key = request_key(&caller, &request, &body.raw).await?;
    let sku = parse_sku("sku_id", &body.value.sku_id)?;
    let NewSaleDto {
        starts_at, ends_at, ..
    } = body.value;
    let now = state.clock.now();
    if ends_at.is_some_and(|ends| ends <= starts_at.unwrap_or(now)) {
        return Err(Problem::invalid_field("ends_at", "must be after the start").into());
    }
    let own = require_own(&caller, &state, &[sku]).await;
    own.map_err(|error| error.naming([("sku_id", sku)].into_iter()))?;
    let sale = Sale {
        sale: SaleId(state.ids.next()),
        sku,
        owner: caller.scope(),
        name: body.value.name.clone(),
        state: SaleState::Draft,
        units_per_buyer_max: body.value.units_per_buyer_max,
        waitlist_units_max: body.value.waitlist_units_max.unwrap_or(WAITLIST_UNITS_DEFAULT),
        shards: body.value.shards.unwrap_or(SHARDS_DEFAULT),
        starts_at,
        ends_at,
        created_at: now,
    };
    let desk = state.sales.clone();
    let respond = |sale: &Sale| stored(StatusCode::CREATED, &SaleDto::from(sale));
    let answered = detached(
        "sale-create",
        async move { desk.create(sale, key, respond).await },
    )
    .await?;
    Ok(idempotency::respond(answered))
}

/// Flash sales, the newest first
///
/// Drafts are seen by those who made them.
#[utoipa::path(get, path = "/v1/flash-sales", tag = "flash-sales", params(PageQuery),
    responses((status = 200, body = Page<SaleDto>),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn list_sales(
    caller: Caller,
    state: Data<AppState>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ServiceError> {
    let limit = query.0.limit()?;
    let before = query.0.after::<Uuid>()?.map(SaleId);
    // One more tells whether there is a next page.
    let all = sees_all(&caller);
    let mut sales = state
        .sales
        .list(before, &caller.scope(), all, i64::from(limit) + 1)
        .await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = sales.len() > size;
    sales.truncate(size);
    let last = sales.last().filter(|_| is_more);
    let next_cursor = last.map(|sale| encode_cursor(&sale.sale.0));
    let items: Vec<SaleDto> = sales.iter().map(SaleDto::from).collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

fn sees_all(caller: &Caller) -> bool {
    caller.has_role(Role::Service) || caller.has_role(Role::Admin)
}

fn parse_sale(text: &str) -> Result<SaleId, Problem> {
    let parsed = text.parse().map(SaleId);
    parsed.map_err(|_| Problem::bad_request("INVALID_SALE_ID", "sale_id: a UUID is expected"))
}

/// The sale, if the caller may know of it.
async fn visible(caller: &Caller, state: &AppState, text: &str) -> Result<Sale, ServiceError> {
    let sale = state.sales.find(parse_sale(text)?).await?;
    if sale.state == SaleState::Draft && sale.owner != caller.scope() && !sees_all(caller) {
        return Err(ServiceError::SaleNotFound);
    }
    Ok(sale)
}

/// One flash sale
#[utoipa::path(get, path = "/v1/flash-sales/{sale_id}", tag = "flash-sales",
    params(("sale_id" = String, Path)),
    responses((status = 200, body = SaleDto),
        (status = 400, body = ProblemBody, description = "INVALID_SALE_ID"),
        (status = 404, body = ProblemBody, description = "SALE_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_sale(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let sale = visible(&caller, &state, &path).await?;
    Ok(HttpResponse::Ok().json(SaleDto::from(&sale)))
}

/// Make a sale ready
///
/// From now on the SKU cannot be bought until the sale starts, and the counter that turns losers away is warm.
/// Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/flash-sales/{sale_id}/preload", tag = "flash-sales",
    security(("bearer" = [])), params(("sale_id" = String, Path)),
    responses((status = 200, body = SaleDto),
        (status = 400, body = ProblemBody, description = "INVALID_SALE_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "SALE_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INVALID_TRANSITION"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn preload_sale(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    command(&caller, state, &path, SaleCommand::Preload).await
}

/// Start a sale
///
/// It must have been preloaded. Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/flash-sales/{sale_id}/start", tag = "flash-sales",
    security(("bearer" = [])), params(("sale_id" = String, Path)),
    responses((status = 200, body = SaleDto),
        (status = 400, body = ProblemBody, description = "INVALID_SALE_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "SALE_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INVALID_TRANSITION"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn start_sale(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    command(&caller, state, &path, SaleCommand::Start).await
}

/// Stop a sale
///
/// Whoever waits is told; what is left is sold as ever. Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/flash-sales/{sale_id}/stop", tag = "flash-sales",
    security(("bearer" = [])), params(("sale_id" = String, Path)),
    responses((status = 200, body = SaleDto),
        (status = 400, body = ProblemBody, description = "INVALID_SALE_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "SALE_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn stop_sale(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    command(&caller, state, &path, SaleCommand::Stop).await
}

async fn command(
    caller: &Caller,
    state: Data<AppState>,
    id: &str,
    command: SaleCommand,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_WRITERS)?;
    let sale = state.sales.find(parse_sale(id)?).await?;
    if bound_to(caller).is_some() {
        require_own(caller, &state, &[sale.sku]).await?;
    }
    let desk = state.sales.clone();
    let sale = detached(
        "sale-command",
        async move { desk.command(sale.sale, command).await },
    )
    .await?;
    Ok(HttpResponse::Ok().json(SaleDto::from(&sale)))
}

/// A sale as it goes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SaleViewDto {
    #[schema(format = "uuid")]
    sale_id: Uuid,
    #[schema(value_type = String, example = "LIVE")]
    state: &'static str,
    on_hand: i64,
    reserved: i64,
    /// Units that can be sold to whoever comes.
    available: i64,
    /// Units that buyers of this sale have: reserved, confirmed or shipped.
    sold: i64,
    /// Units that are waited for.
    waiting: i64,
    /// Reserve requests of this sale that were granted, up to about a second ago, with those for orders that
    /// had been granted before.
    admitted: i64,
    /// Reserve requests of this sale that were refused, up to about a second ago.
    refused: i64,
    /// Units that found buyers in the last second or so, less those that came back; at least 0.
    sold_per_second: i64,
}

impl SaleViewDto {
    fn new(view: &View) -> Self {
        let snapshot = &view.snapshot;
        let counters: Counters = snapshot.counters;
        Self {
            sale_id: snapshot.sale.sale.0,
            state: snapshot.sale.state.as_str(),
            on_hand: counters.on_hand,
            reserved: counters.reserved,
            available: counters.available(),
            sold: snapshot.sold,
            waiting: counters.waiting,
            admitted: snapshot.admitted,
            refused: snapshot.refused,
            sold_per_second: view.sold_per_second,
        }
    }
}

/// Watch a sale
///
/// Server-Sent Events with the name `sale`, about one a second while something changes, of which each holds the
/// whole state: a client that comes back has missed nothing that matters. The stream ends after ENDED.
#[utoipa::path(get, path = "/v1/flash-sales/{sale_id}/events", tag = "flash-sales",
    params(("sale_id" = String, Path)),
    responses((status = 200, description = "the stream", content_type = "text/event-stream", body = SaleViewDto),
        (status = 400, body = ProblemBody, description = "INVALID_SALE_ID"),
        (status = 404, body = ProblemBody, description = "SALE_NOT_FOUND"),
        (status = 429, body = ProblemBody, description = "TOO_MANY_STREAMS"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn watch_sale(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let sale = visible(&caller, &state, &path).await?;
    let slot = state.streams.slot(watcher(&caller))?;
    let events = SaleEvents {
        waiting: VecDeque::from([sse::opening()]),
        views: state.meter.view(sale.sale),
        last: None,
        count: 0,
        is_over: false,
        heartbeat: state.streams.heartbeat(),
        streams: state.streams.clone(),
        _slot: slot,
    };
    Ok(sse::respond(futures::stream::unfold(
        events,
        |mut events| async move { Some((events.next().await?, events)) },
    )))
}

/// The gateway does not tell viewers without an account apart.
fn watcher(caller: &Caller) -> Watcher {
    caller
        .user()
        .map_or(Watcher::Anybody, |user| Watcher::User(user.user_id))
}

struct SaleEvents {
    waiting: VecDeque<String>,
    views: watch::Receiver<Option<View>>,
    /// What was sent last.
    last: Option<String>,
    count: i64,
    is_over: bool,
    heartbeat: tokio::time::Interval,
    streams: Streams,
    _slot: StreamSlot,
}

impl SaleEvents {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(text);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                changed = self.views.changed() => {
                    changed.ok()?;
                    self.take();
                }
                _ = self.heartbeat.tick() => self.waiting.push_back(sse::HEARTBEAT.to_owned()),
                () = self.streams.stopping() => return None,
            }
        }
    }

    fn take(&mut self) {
        let Some(dto) = self.views.borrow_and_update().as_ref().map(SaleViewDto::new) else {
            return;
        };
        self.is_over = dto.state == SaleState::Ended.as_str();
        let data = serde_json::to_string(&dto).unwrap_or_default();
        if self.last.as_ref() != Some(&data) {
            self.count += 1;
            self.waiting.push_back(sse::event("sale", self.count, &dto));
            self.last = Some(data);
        }
    }
}
