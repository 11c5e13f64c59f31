use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart cart", description = "Carts of guests and users."),
    paths(
        routes::read, routes::clear, routes::merge, routes::add, routes::set, routes::remove,
        routes::read_any, routes::mark_checked_out
    ),
    components(schemas(
        routes::CartBody, routes::CartLineBody, routes::CartStatusBody, routes::AvailabilityBody, routes::NoticeBody,
        routes::NoticeCode, routes::AddRequest, routes::SetRequest,
        routes::MergeRequest, routes::CheckedOutRequest, ferrocart_http_kit::ProblemBody
    )),
    modifiers(&BearerAuth)
)]
pub(crate) struct Document;
