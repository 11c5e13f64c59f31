use ferrocart_http_kit::{BearerAuth, ProblemBody};
use utoipa::OpenApi;

use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart payment",
        description = "One payment for an order: authorized, captured, voided, refunded. No card number ever enters: provider tokens only."
    ),
    paths(
        routes::get::get_payment,
        routes::client_secret::client_secret,
        routes::webhook::webhook,
        routes::reconciliation::report,
        routes::reconciliation::start,
        routes::internal::authorize,
        routes::internal::by_order,
        routes::internal::capture,
        routes::internal::void,
        routes::internal::refund
    ),
    components(schemas(ProblemBody, routes::reconciliation::DifferenceFilter)),
    tags((name = "payment", description = "Payments")),
    modifiers(&BearerAuth)
)]
pub(crate) struct Document;
