//! For the order service alone: the gateway never forwards these.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, Role, detached, parse_id};
use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_types::{Money, OrderId, UserId};
use garde::Validate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::view::{PaymentView, VoidedOrder};
use crate::app::{Payments, Reply, Voided};
use crate::domain::{MethodToken, Status, Terms};
use crate::error::PaymentError;
use crate::store::payments::By;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorizeBody {
    #[garde(skip)]
    order_id: OrderId,
    /// The user, or the guest session that checks out.
    #[garde(skip)]
    customer_id: UserId,
    #[garde(custom(positive))]
    amount: Money,
    /// The provider's token, such as `pm_card_visa`; never a card number. Left away, the customer chooses it at
    /// the provider.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "pm_card_visa")]
    payment_method: Option<MethodToken>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmountBody {
    /// All that is held, or all that can still be refunded, if it is not given.
    #[serde(default)]
    amount: Option<Money>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoidBody {
    #[serde(default)]
    reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn positive(amount: &Money, _context: &()) -> garde::Result {
    if amount.amount_minor > 0 {
        Ok(())
    } else {
        Err(garde::Error::new("must be more than 0"))
    }
}

/// A body of which every field may be left out may be left out itself.
pub(super) fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Problem::invalid_field("body", error))
}

/// The key, in the scope of the caller, with all that makes the request what it is.
fn request_key(caller: &Caller, key: IdempotencyKey, request: &HttpRequest, body: &[u8]) -> RequestKey {
    let parts = [
        request.method().as_str().as_bytes(),
        request.path().as_bytes(),
        body,
    ];
    RequestKey::new(caller.scope(), key.0, &parts)
}

fn respond(status: StatusCode, reply: Reply) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if reply.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    response.json(PaymentView::from(reply.payment))
}

/// Holds the order's amount on the customer's card; once for an order, however often it is asked.
#[utoipa::path(
    post,
    path = "/internal/v1/payments",
    tag = "payment",
    params(("Idempotency-Key" = String, Header)),
    request_body = AuthorizeBody,
    responses(
        (status = 201, body = PaymentView, description = "AUTHORIZED, REQUIRES_ACTION with the bank's page, or PENDING until the customer has paid"),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PAYMENT_METHOD, IDEMPOTENCY_KEY_MISSING"),
        (status = 402, body = ProblemBody, description = "PAYMENT_DECLINED with decline_code"),
        (status = 409, body = ProblemBody, description = "INVALID_TRANSITION: the order was given up; PAYMENT_EXISTS: on other terms"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED, PAYMENT_REFUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE: nothing was done"),
        (status = 504, body = ProblemBody, description = "PAYMENT_OUTCOME_UNKNOWN: the same key asks again")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn authorize(
    request: HttpRequest,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<AuthorizeBody>,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Service])?;
    let key = request_key(&caller, key, &request, &body.raw);
    let AuthorizeBody {
        order_id,
        customer_id,
        amount,
        payment_method,
    } = body.value;
    let terms = Terms {
        order_id,
        customer_id,
        amount,
        method: payment_method,
    };
    let payments = payments.into_inner();
    let reply = detached("authorize", async move { payments.authorize(terms, &key).await }).await?;
    Ok(respond(StatusCode::CREATED, reply))
}

/// The payment of an order.
#[utoipa::path(
    get,
    path = "/internal/v1/payments/by-order/{order_id}",
    tag = "payment",
    params(("order_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = PaymentView),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn by_order(
    caller: Caller,
    path: web::Path<String>,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Service])?;
    let order: OrderId = parse_id(&path)?;
    let payment = payments.find(By::Order(order)).await?;
    let payment = payment.ok_or(PaymentError::NotFound)?;
    Ok(HttpResponse::Ok().json(PaymentView::from(payment)))
}

/// Takes what is held, whole or in part; the rest is let go.
#[utoipa::path(
    post,
    path = "/internal/v1/payments/by-order/{order_id}/capture",
    tag = "payment",
    params(("order_id" = uuid::Uuid, Path), ("Idempotency-Key" = String, Header)),
    request_body = AmountBody,
    responses(
        (status = 200, body = PaymentView),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "INVALID_TRANSITION"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED, PAYMENT_REFUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE: nothing was done"),
        (status = 504, body = ProblemBody, description = "PAYMENT_OUTCOME_UNKNOWN")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn capture(
    request: HttpRequest,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<String>,
    body: web::Bytes,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Service])?;
    let order: OrderId = parse_id(&path)?;
    let AmountBody { amount } = optional(&body)?;
    let key = request_key(&caller, key, &request, &body);
    let payments = payments.into_inner();
    let reply = detached(
        "capture",
        async move { payments.capture(order, amount, &key).await },
    )
    .await?;
    Ok(respond(StatusCode::OK, reply))
}

/// Lets go what is held, and keeps the order from being paid later.
#[utoipa::path(
    post,
    path = "/internal/v1/payments/by-order/{order_id}/void",
    tag = "payment",
    params(("order_id" = uuid::Uuid, Path), ("Idempotency-Key" = String, Header)),
    request_body = VoidBody,
    responses(
        (status = 200, body = PaymentView, description = "VOIDED; of an order without a payment {order_id, status}; a DECLINED or FAILED payment as it is"),
        (status = 409, body = ProblemBody, description = "INVALID_TRANSITION: it is captured"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE: remembered, and done as soon as it can be"),
        (status = 504, body = ProblemBody, description = "PAYMENT_OUTCOME_UNKNOWN: remembered as well")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn void(
    request: HttpRequest,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<String>,
    body: web::Bytes,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Service])?;
    let order: OrderId = parse_id(&path)?;
    let VoidBody { reason } = optional(&body)?;
    let reason = reason.unwrap_or_else(|| "ORDER_CANCELLED".to_owned());
    if reason.is_empty() || reason.chars().count() > 100 {
        return Err(Problem::invalid_field("reason", "1 to 100 characters are expected").into());
    }
    let key = request_key(&caller, key, &request, &body);
    let payments = payments.into_inner();
    let voided = detached(
        "void",
        async move { payments.void(order, &reason, Some(&key)).await },
    )
    .await?;
    Ok(match voided {
        Voided::Payment(reply) => respond(StatusCode::OK, reply),
        Voided::NothingToVoid => HttpResponse::Ok().json(VoidedOrder {
            order_id: order,
            status: Status::Voided,
        }),
    })
}

/// Gives back a part of what was captured, or all that is left of it. Each key is a refund of its own.
#[utoipa::path(
    post,
    path = "/internal/v1/payments/by-order/{order_id}/refund",
    tag = "payment",
    params(("order_id" = uuid::Uuid, Path), ("Idempotency-Key" = String, Header)),
    request_body = AmountBody,
    responses(
        (status = 200, body = PaymentView),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "REFUND_EXCEEDS_CAPTURED, INVALID_TRANSITION"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED, PAYMENT_REFUSED"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE: nothing was done"),
        (status = 504, body = ProblemBody, description = "PAYMENT_OUTCOME_UNKNOWN")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn refund(
    request: HttpRequest,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<String>,
    body: web::Bytes,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Service])?;
    let order: OrderId = parse_id(&path)?;
    let AmountBody { amount } = optional(&body)?;
    let key = request_key(&caller, key, &request, &body);
    let payments = payments.into_inner();
    let reply = detached(
        "refund",
        async move { payments.refund(order, amount, &key).await },
    )
    .await?;
    Ok(respond(StatusCode::OK, reply))
}
