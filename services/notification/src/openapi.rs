use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::domain;
use crate::routes::{self, webhooks};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart notification",
        description = "What was sent to customers about their orders, how they want to be written to, and the webhooks of merchants."
    ),
    paths(
        routes::list, routes::read_preferences, routes::write_preferences, routes::ask, routes::unsubscribe, routes::mail_link, webhooks::create_endpoint,
        webhooks::list_endpoints, webhooks::read_endpoint, webhooks::update_endpoint, webhooks::delete_endpoint,
        webhooks::rotate_secret, webhooks::send_test, webhooks::list_deliveries, webhooks::read_delivery,
        webhooks::deliver_again
    ),
    components(schemas(
        routes::NotificationBody, routes::NotificationPage, domain::Kind, domain::Channel, domain::Status,
        domain::Locale, routes::PreferencesBody, routes::SwitchBody, routes::NewPreferences, routes::NewSwitch,
        webhooks::NewEndpoint, webhooks::EndpointChanges, webhooks::EndpointBody, webhooks::NewEndpointBody,
        webhooks::EndpointList, webhooks::RotatedSecret, webhooks::DeliveryBody, webhooks::DeliveryPage,
        webhooks::DeliveryDetail, webhooks::AttemptBody, webhooks::DeliveryStarted, domain::EventType,
        domain::EndpointStatus, domain::DisabledReason, domain::DeliveryStatus, routes::MailLink, domain::Purpose,
        ferrocart_http_kit::ProblemBody
    )),
    modifiers(&BearerAuth)
)]
pub(crate) struct Document;
