use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::routes::{admin, cancel, checkout, deliver, orders, pay, place, refund, ship};

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart orders", description = "Checkout, and an order's life after it."),
    paths(
        checkout::checkout, place::place, pay::pay, orders::list, orders::read, cancel::cancel, ship::ship, deliver::deliver,
        refund::refund, admin::sagas, admin::retry, admin::cancel
    ),
    components(schemas(admin::SagaFilter)),
    tags((name = "orders", description = "Checkout and orders"), (name = "admin", description = "For support")),
    security(("bearer" = [])),
    modifiers(&BearerAuth),
)]
pub(crate) struct ApiDoc;
