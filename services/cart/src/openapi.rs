use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart cart", description = "Carts of guests and users."),
    paths(
        routes::read, routes::clear, routes::merge, routes::add, routes::set, routes::remove,
        routes::read_any, routes::mark_checked_out
    ),
    components(schemas(
        routes::CartBody, routes::CartLineBody, routes::CartStatusBody, routes::AddRequest, routes::SetRequest,
        routes::MergeRequest, routes::CheckedOutRequest, ferrocart_http_kit::ProblemBody
    )),
    modifiers(&Bearer)
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
