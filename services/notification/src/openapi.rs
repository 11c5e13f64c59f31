use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::domain;
use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart notification",
        description = "What was sent to customers about their orders, and how they want to be written to."
    ),
    paths(routes::list, routes::read_preferences, routes::write_preferences),
    components(schemas(
        routes::NotificationBody, routes::NotificationPage, domain::Kind, domain::Channel, domain::Status,
        domain::Locale, routes::PreferencesBody, routes::SwitchBody, routes::NewPreferences, routes::NewSwitch,
        ferrocart_http_kit::ProblemBody
    )),
    modifiers(&BearerAuth)
)]
pub(crate) struct Document;
