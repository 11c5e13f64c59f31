use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{ProblemBody, detached};

use crate::app::{Payments, Taken};
use crate::error::PaymentError;
use crate::provider::WebhookVerifier;

/// What the provider tells of its own accord. Anything but a 2xx makes it come again.
#[utoipa::path(
    post,
    path = "/v1/payments/webhook", operation_id = "take_payment_webhook",
    tag = "payment",
    params(("Stripe-Signature" = String, Header, description = "t=<seconds>,v1=<HMAC-SHA256 over \"t.body\">")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "Stripe's event"),
    responses(
        (status = 200, description = "taken, now or before", body = serde_json::Value),
        (status = 400, body = ProblemBody, description = "INVALID_WEBHOOK: not signed, stale or tampered with"),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND: not known, or not known yet"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE"),
        (status = 504, body = ProblemBody, description = "PAYMENT_OUTCOME_UNKNOWN: the provider did not say how the payment stands")
    ),
    security(())
)]
pub(crate) async fn webhook(
    request: HttpRequest,
    body: web::Bytes,
    payments: web::Data<Payments>,
    verifier: web::Data<WebhookVerifier>,
) -> Result<HttpResponse, PaymentError> {
    let header = request
        .headers()
        .get("stripe-signature")
        .and_then(|value| value.to_str().ok());
    let event = verifier.verify(header, &body, payments.clock.now())?;
    let payments = payments.into_inner();
    let taken = detached("webhook", async move {
        let taken = payments.take_event(&event).await;
        let result = match &taken {
            Ok(Taken::Applied) => "applied",
            Ok(Taken::Duplicate) => "duplicate",
            Ok(Taken::Known) => "known",
            Ok(Taken::Ignored) => "ignored",
            Err(_) => "refused",
        };
        metrics::counter!("psp_webhooks_total", "result" => result).increment(1);
        taken
    })
    .await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({
        "received": true,
        "duplicate": taken == Taken::Duplicate,
    })))
}
