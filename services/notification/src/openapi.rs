use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

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
    modifiers(&BearerAuth)
)]
pub(crate) struct Document;
