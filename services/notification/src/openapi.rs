use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::domain;
use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart notification",
        description = "What was sent to customers about their orders. E-mails about an order are always sent: \
                       there is nothing to subscribe to."
    ),
    paths(routes::list),
    components(schemas(
        routes::NotificationBody, routes::NotificationPage, domain::Kind, domain::Channel, domain::Status,
        ferrocart_http_kit::ProblemBody
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
