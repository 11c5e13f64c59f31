use ferrocart_http_kit::ProblemBody;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart payment",
        description = "One payment for an order: authorized, captured, voided, refunded. No card number ever enters: provider tokens only."
    ),
    paths(
        routes::get::get_payment,
        routes::webhook::webhook,
        routes::internal::authorize,
        routes::internal::by_order,
        routes::internal::capture,
        routes::internal::void,
        routes::internal::refund
    ),
    components(schemas(ProblemBody)),
    tags((name = "payment", description = "Payments")),
    modifiers(&Bearer)
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Default::default);
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
