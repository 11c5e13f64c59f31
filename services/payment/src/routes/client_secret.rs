use actix_web::{HttpResponse, web};
use ferrocart_config::ExposeSecret;
use ferrocart_http_kit::{Caller, ProblemBody, parse_id};
use ferrocart_types::PaymentId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Payments;
use crate::error::PaymentError;

/// What the provider's own client (such as Stripe.js) confirms a payment with.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientSecret)]
pub(crate) struct AtProvider {
    payment_id: PaymentId,
    /// For the customer alone: not to be logged or kept.
    client_secret: String,
    /// The shop's public key at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    publishable_key: Option<String>,
}

/// The client secret of a payment
///
/// For the one who pays, and nobody else, while the payment waits for that. The card is given to the provider, by
/// its own client; what comes of it is told by the payment and its order. A declined card ends nothing: another
/// one may be tried until the order is cancelled.
#[utoipa::path(
    get,
    path = "/v1/payments/{payment_id}/client-secret", operation_id = "read_client_secret",
    tag = "payment",
    params(("payment_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = AtProvider),
        (status = 400, body = ProblemBody, description = "INVALID_PAYMENT_ID"),
        (status = 401, body = ProblemBody, description = "UNAUTHENTICATED"),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND: there is none, or it is another's"),
        (status = 409, body = ProblemBody, description = "PAYMENT_NOT_CONFIRMABLE: it does not wait for its customer"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn client_secret(
    caller: Caller,
    path: web::Path<String>,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    let user = caller.user()?;
    let payment_id: PaymentId = parse_id(&path)?;
    let secret = payments.client_secret(payment_id, user.user_id).await?;
    let answer = AtProvider {
        payment_id,
        client_secret: secret.expose_secret().to_owned(),
        publishable_key: payments.publishable_key.clone(),
    };
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "private, no-store"))
        .json(answer))
}
