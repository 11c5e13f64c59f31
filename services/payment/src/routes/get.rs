use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody, Role, parse_id};
use ferrocart_types::PaymentId;

use super::view::PaymentView;
use crate::app::Payments;
use crate::error::PaymentError;
use crate::store::payments::By;

/// A payment, for the one who paid, for support and for admins.
#[utoipa::path(
    get,
    path = "/v1/payments/{payment_id}", operation_id = "read_payment",
    tag = "payment",
    params(("payment_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = PaymentView),
        (status = 400, body = ProblemBody, description = "INVALID_PAYMENT_ID"),
        (status = 401, body = ProblemBody, description = "UNAUTHENTICATED"),
        (status = 404, body = ProblemBody, description = "PAYMENT_NOT_FOUND: there is none, or it is another's"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn get_payment(
    caller: Caller,
    path: web::Path<String>,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    let user = caller.user()?;
    let id: PaymentId = parse_id(&path)?;
    let payment = payments.find(By::Id(id)).await?.ok_or(PaymentError::NotFound)?;
    let sees_all = caller.has_role(Role::Support) || caller.has_role(Role::Admin);
    if !sees_all && payment.terms.customer_id != user.user_id {
        // As if there was none: whether an id exists is nobody else's business.
        return Err(PaymentError::NotFound);
    }
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "private, no-store"))
        .json(PaymentView::from(payment)))
}
