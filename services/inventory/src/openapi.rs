use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

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
        routes::read_reservation,
    ),
    tags((name = "inventory", description = "Stock and reservations")),
    modifiers(&Bearer)
)]
struct Document;

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

pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
