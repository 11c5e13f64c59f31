use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::{domain, routes};

/// The OpenAPI document of this service.
#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart search", description = "Find products."),
    paths(
        routes::search,
        routes::suggest,
        routes::index,
        routes::rebuild,
        routes::index_status,
    ),
    components(schemas(
        routes::SearchAnswer,
        routes::SearchItem,
        routes::Highlights,
        domain::FacetCounts,
        domain::Sort,
        routes::RatingView,
        routes::Suggestions,
        routes::IndexStatus,
    )),
    tags(
        (name = "search", description = "Full text, filters, facets and suggestions"),
        (name = "admin", description = "For those who run the platform"),
        (name = "internal", description = "For services alone; not reachable through the gateway"),
    ),
    security(("bearer" = [])),
    modifiers(&BearerAuth),
)]
pub(crate) struct Document;
