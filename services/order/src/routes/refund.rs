use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{Caller, IdempotencyKey, Problem, ProblemBody, detached};
use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_types::{Money, Quantity, SkuId};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::optional::OptionalJson;
use super::orders::order_id;
use crate::app::{App, Command};
use crate::domain::{RefundRequest, RefundedItem};
use crate::error::ServiceError;
use crate::views::OrderView;

#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refund {
    /// For the order's history.
    #[garde(length(chars, min = 1, max = 200))]
    reason: Option<String>,
    /// What goes back, at most what the items cost, if any are named. Left away it is their price, or all that is
    /// left.
    #[garde(inner(custom(positive)))]
    amount: Option<Money>,
    /// The units that are paid back, at the prices they were sold for; each unit once.
    #[garde(length(min = 1, max = 200))]
    items: Option<Vec<RefundItem>>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundItem {
    sku_id: SkuId,
    quantity: Quantity,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn positive(amount: &Money, (): &()) -> garde::Result {
    if amount.amount_minor > 0 {
        Ok(())
    } else {
        Err(garde::Error::new("must be more than 0"))
    }
}

/// Refund an order
///
/// By support, once it is delivered: an amount, some of the items, or all that is left. What is refunded never comes
/// to more than was captured; when nothing is left the order is REFUNDED, until then it stays DELIVERED and shows
/// what went back. A part needs an Idempotency-Key: the same key is the same refund.
#[utoipa::path(
    put, path = "/v1/orders/{order_id}/refund", operation_id = "refund_order", tag = "orders",
    params(("order_id" = uuid::Uuid, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; the same one with a retry. Required with an amount or items")),
    request_body = Option<Refund>,
    responses(
        (status = 200, description = "The money went back, now or before", body = OrderView,
         headers(("Idempotent-Replayed" = String, description = "true when this answers a repeated request"))),
        (status = 202, description = "It is under way: look at Location", body = OrderView),
        (status = 400, description = "VALIDATION_ERROR, INVALID_ORDER_ID, IDEMPOTENCY_KEY_MISSING", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "INVALID_TRANSITION, REFUND_EXCEEDS_CAPTURED, REFUND_REFUSED, REQUEST_IN_PROGRESS", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
    ),
)]
pub(crate) async fn refund(
    app: web::Data<App>,
    caller: Caller,
    http: HttpRequest,
    path: web::Path<String>,
    body: OptionalJson<Refund>,
) -> Result<HttpResponse, ServiceError> {
    let id = order_id(&path)?;
    let Refund {
        reason,
        amount,
        items,
    } = body.value;
    let request = RefundRequest {
        amount,
        items: items.unwrap_or_default().iter().map(RefundItem::item).collect(),
    };
    let key = if http.headers().contains_key("idempotency-key") || !request.is_whole() {
        Some(request_key(&caller, &http, &body.raw).await?)
    } else {
        None
    };
    let command = Command::Refund { request, reason, key };
    let app = App::clone(&app);
    let changed = detached("refund", async move { app.command(&caller, id, command).await }).await?;
    super::changed(&changed)
}

impl RefundItem {
    const fn item(&self) -> RefundedItem {
        RefundedItem {
            sku_id: self.sku_id,
            quantity: self.quantity,
        }
    }
}

async fn request_key(caller: &Caller, http: &HttpRequest, body: &[u8]) -> Result<RequestKey, Problem> {
    let key = IdempotencyKey::extract(http).await?;
    Ok(RequestKey::new(
        caller.scope(),
        key.0,
        &[b"PUT", http.path().as_bytes(), body],
    ))
}
