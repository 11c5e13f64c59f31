use actix_web::{HttpResponse, web};
use ferrocart_failpoint::{Site, around};
use ferrocart_http_kit::{Json, Problem, ProblemBody};
use ferrocart_types::OrderId;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{CartBody, State};
use crate::domain::CartId;
use crate::error::CartError;

/// Read any cart; for services.
#[utoipa::path(get, path = "/internal/v1/carts/{cart_id}", tag = "internal", security(("bearer" = [])),
    params(("cart_id" = String, Path, description = "user:<uuid> or guest:<uuid>")),
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn read_any(
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let cart = state.store.read(cart_id(&path)?).await?;
    Ok(HttpResponse::Ok().json(state.body(cart)?))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckedOutRequest {
    #[garde(skip)]
    order_id: OrderId,
}

/// Hold a cart still while an order is made of it; for services. Repeating it changes nothing.
#[utoipa::path(post, path = "/internal/v1/carts/{cart_id}/checked-out", tag = "internal", security(("bearer" = [])),
    params(("cart_id" = String, Path, description = "user:<uuid> or guest:<uuid>")), request_body = CheckedOutRequest,
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody),
        (status = 409, description = "CART_CHECKED_OUT by another order", body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn mark_checked_out(
    path: web::Path<String>,
    body: Json<CheckedOutRequest>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let (id, order) = (cart_id(&path)?, body.value.order_id);
    let mark = || async { Ok::<_, CartError>(state.store.mark_checked_out(id, order).await?) };
    let cart = around(Site::CartMark, mark).await?;
    Ok(HttpResponse::Ok().json(state.body(cart)?))
}

fn cart_id(text: &str) -> Result<CartId, Problem> {
    text.parse()
        .map_err(|error: crate::domain::InvalidCartId| Problem::invalid_field("cart_id", error))
}
