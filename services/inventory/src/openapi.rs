use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart inventory", description = "Stock, and reservations that never oversell it."),
    paths(
        routes::list_stock,
        routes::initialise,
        routes::initialise_batch,
        routes::read_stock,
        routes::set_stock,
        routes::discontinue,
        routes::adjust,
        routes::read_drift,
        routes::read_history,
        routes::reserve,
        routes::confirm,
        routes::release,
        routes::deduct,
        routes::extend,
        routes::read_reservation,
        routes::create_sale,
        routes::list_sales,
        routes::read_sale,
        routes::preload_sale,
        routes::start_sale,
        routes::stop_sale,
        routes::watch_sale,
        routes::join,
        routes::leave,
        routes::watch_ticket,
        routes::place,
        routes::read_hold,
        routes::release_hold,
    ),
    tags((name = "inventory", description = "Stock and reservations"),
        (name = "flash-sales", description = "Sales with limits, and the line for what comes free"),
        (name = "holds", description = "Units that a buyer holds for a short time")),
    modifiers(&BearerAuth)
)]
struct Document;

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
