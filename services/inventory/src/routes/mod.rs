//! The HTTP surface: parse, call, answer.

mod drift;
mod dto;
mod history;
mod holds;
mod idempotency;
mod reservations;
mod reserve;
mod sales;
mod stock;
mod stock_changes;
mod waitlist;

use actix_web::web::{self, Data, ServiceConfig};
use ferrocart_http_kit::sse::Streams;
use ferrocart_http_kit::{Caller, Problem, Role};
use ferrocart_types::{InvalidId, OrderId, ReservationId, SharedClock, SharedIds, SkuId, UserId};
use sqlx::PgPool;

use crate::admission::Admission;
use crate::app::{Actor, DriftDesk, HoldDesk, Ownership, SaleDesk, SaleMeter, StockDesk, WaitDesk};
use crate::batcher::Batcher;
use crate::domain::HoldSeconds;
use crate::error::ServiceError;

pub(crate) use drift::__path_read_drift;
pub(crate) use dto::{
    AdjustDto, ExtendDto, InitialiseBatchDto, InitialiseDto, ReleaseDto, ReservationCommandDto,
    ReservationDto, ReserveDto, SetDto, StockDto, StockListDto, StockOutcomeDto, StockOutcomeListDto,
};
pub(crate) use history::__path_read_history;
pub(crate) use holds::{__path_place, __path_read_hold, __path_release_hold};
pub(crate) use reservations::{
    __path_confirm, __path_deduct, __path_extend, __path_read_reservation, __path_release,
};
pub(crate) use reserve::__path_reserve;
pub(crate) use sales::{
    __path_create_sale, __path_list_sales, __path_preload_sale, __path_read_sale, __path_start_sale,
    __path_stop_sale, __path_watch_sale,
};
pub(crate) use stock::{__path_list_stock, __path_read_stock};
pub(crate) use stock_changes::{
    __path_adjust, __path_discontinue, __path_initialise, __path_initialise_batch, __path_set_stock,
};
pub(crate) use waitlist::{__path_join, __path_leave, __path_watch_ticket};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) desk: StockDesk,
    pub(crate) ownership: Ownership,
    pub(crate) drift: DriftDesk,
    pub(crate) batcher: Batcher,
    pub(crate) sales: SaleDesk,
    pub(crate) waitlist: WaitDesk,
    pub(crate) meter: SaleMeter,
    pub(crate) streams: Streams,
    pub(crate) admission: Admission,
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) holds: HoldDesk,
    pub(crate) hold_default: HoldSeconds,
}

pub(crate) fn configure(config: &mut ServiceConfig, state: &Data<AppState>) {
    config
        .app_data(state.clone())
        .service(
            web::resource("/v1/inventory")
                .route(web::get().to(stock::list_stock))
                .route(web::post().to(stock_changes::initialise)),
        )
        .route(
            "/v1/inventory:batch",
            web::post().to(stock_changes::initialise_batch),
        )
        // Before the SKUs: `reserve` is none.
        .route("/v1/inventory/reserve", web::post().to(reserve::reserve))
        .route("/v1/inventory/confirm", web::post().to(reservations::confirm))
        .route("/v1/inventory/release", web::post().to(reservations::release))
        .route("/v1/inventory/extend", web::post().to(reservations::extend))
        .route("/v1/holds", web::post().to(holds::place))
        .service(
            web::resource("/v1/holds/{hold_id}")
                .route(web::get().to(holds::read_hold))
                .route(web::delete().to(holds::release_hold)),
        )
        .route("/v1/inventory/deduct", web::post().to(reservations::deduct))
        .route(
            "/v1/inventory/reservations/{reservation_id}",
            web::get().to(reservations::read_reservation),
        )
        .service(
            web::resource("/v1/inventory/{sku_id}")
                .route(web::get().to(stock::read_stock))
                .route(web::put().to(stock_changes::set_stock))
                .route(web::delete().to(stock_changes::discontinue)),
        )
        .route(
            "/v1/inventory/{sku_id}/adjustments",
            web::post().to(stock_changes::adjust),
        )
        .route("/v1/inventory/{sku_id}/drift", web::get().to(drift::read_drift))
        .route(
            "/v1/inventory/{sku_id}/history",
            web::get().to(history::read_history),
        );
    configure_sales(config);
}

fn configure_sales(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/flash-sales")
                .route(web::get().to(sales::list_sales))
                .route(web::post().to(sales::create_sale)),
        )
        .route("/v1/flash-sales/{sale_id}", web::get().to(sales::read_sale))
        .route(
            "/v1/flash-sales/{sale_id}/events",
            web::get().to(sales::watch_sale),
        )
        .route(
            "/v1/flash-sales/{sale_id}/preload",
            web::post().to(sales::preload_sale),
        )
        .route(
            "/v1/flash-sales/{sale_id}/start",
            web::post().to(sales::start_sale),
        )
        .route("/v1/flash-sales/{sale_id}/stop", web::post().to(sales::stop_sale))
        .route("/v1/waitlist", web::post().to(waitlist::join))
        .service(
            web::resource("/v1/waitlist/{ticket}")
                .route(web::get().to(waitlist::watch_ticket))
                .route(web::delete().to(waitlist::leave)),
        );
}

/// Those who may write stock: people; no service does.
const STOCK_WRITERS: [Role; 2] = [Role::Merchant, Role::Admin];
/// The service whose reservations they are.
const ORDER: &str = "order";
/// Those who may see reservations.
const RESERVERS: [Role; 3] = [Role::Service, Role::Merchant, Role::Admin];

/// Those who may look into the records behind the counters.
const STOCK_INSPECTORS: [Role; 4] = [Role::Service, Role::Merchant, Role::Support, Role::Admin];

/// Of the services, only that of orders reserves, and moves reservations.
fn require_mover(caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::Service(_) => require_service(caller),
        Caller::User(_) => caller.require_any(&[Role::Merchant, Role::Admin]),
    }
}

fn require_service(caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::Service(name) if name == ORDER => Ok(()),
        _ => Err(Problem::forbidden("this is for the order service")),
    }
}

/// The merchant whose SKUs alone the caller may touch; nobody in particular for those who may touch all.
fn bound_to(caller: &Caller) -> Option<UserId> {
    match caller {
        Caller::Service(_) => None,
        Caller::User(_) if caller.has_role(Role::Admin) => None,
        Caller::User(user) => Some(user.user_id),
    }
}

/// 403 when the caller is a merchant and some of these SKUs are another's.
async fn require_own(caller: &Caller, state: &AppState, skus: &[SkuId]) -> Result<(), ServiceError> {
    match bound_to(caller) {
        Some(merchant) => state.ownership.of_stocked(merchant, skus).await,
        None => Ok(()),
    }
}

/// Like [`require_own`], for records that the shop's support may see as well.
async fn require_visible(caller: &Caller, state: &AppState, sku: SkuId) -> Result<(), ServiceError> {
    if caller.has_role(Role::Support) {
        return Ok(());
    }
    require_own(caller, state, &[sku]).await
}

fn actor(caller: &Caller) -> Actor {
    Actor {
        name: caller.scope(),
        traceparent: ferrocart_telemetry::current_traceparent(),
    }
}

/// The API calls a SKU a product in its error codes.
fn parse_sku(field: &str, text: &str) -> Result<SkuId, Problem> {
    parse("INVALID_PRODUCT_ID", field, text)
}

fn parse_order(field: &str, text: &str) -> Result<OrderId, Problem> {
    parse("INVALID_ORDER_ID", field, text)
}

fn parse_user(field: &str, text: &str) -> Result<UserId, Problem> {
    parse("INVALID_USER_ID", field, text)
}

fn parse_reservation(field: &str, text: &str) -> Result<ReservationId, Problem> {
    parse("INVALID_RESERVATION_ID", field, text)
}

fn parse<T: std::str::FromStr<Err = InvalidId>>(
    code: &'static str,
    field: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request(code, format!("{field}: a UUID is expected")).field(field, "a UUID is expected")
    })
}
