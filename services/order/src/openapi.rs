use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::{admin, cancel, checkout, deliver, orders, refund, ship};

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart orders", description = "Checkout, and an order's life after it."),
    paths(
        checkout::checkout, orders::list, orders::read, cancel::cancel, ship::ship, deliver::deliver,
        refund::refund, admin::sagas
    ),
    tags((name = "orders", description = "Checkout and orders"), (name = "admin", description = "For support")),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub(crate) struct ApiDoc;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
