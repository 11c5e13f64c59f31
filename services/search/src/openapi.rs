use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes;

/// The OpenAPI document of this service.
#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart search", description = "Find products."),
    paths(routes::search, routes::suggest, routes::index_status),
    components(schemas(
        routes::SearchAnswer,
        routes::SearchItem,
        routes::FacetCounts,
        routes::RatingView,
        routes::Suggestions,
        routes::IndexStatus,
    )),
    tags(
        (name = "search", description = "Full text, filters, facets and suggestions"),
        (name = "internal", description = "For services alone; not reachable through the gateway"),
    ),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
