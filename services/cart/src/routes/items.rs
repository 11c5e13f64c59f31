use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, ProblemBody, parse_id};
use ferrocart_types::{Quantity, SkuId};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{CartBody, State, own_cart};
use crate::error::CartError;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddRequest {
    #[garde(skip)]
    sku_id: SkuId,
    #[garde(skip)]
    quantity: Quantity,
}

/// Put units of a SKU into your cart, on top of those that are there.
///
/// With an `Idempotency-Key` a request that is sent again within a day adds nothing and is answered with the
/// cart as it stands, and `Idempotent-Replayed: true`.
#[utoipa::path(post, path = "/v1/cart/items", operation_id = "add_cart_item", tag = "cart", security(("bearer" = [])), request_body = AddRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; the same one with a retry")),
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "PRODUCT_UNAVAILABLE, CART_FULL, CART_CHECKED_OUT", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn add(
    caller: Caller,
    request: HttpRequest,
    body: Json<AddRequest>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let cart = own_cart(&caller)?;
    let AddRequest { sku_id, quantity } = body.value;
    let key = if request.headers().contains_key("idempotency-key") {
        Some(IdempotencyKey::extract(&request).await?.0)
    } else {
        None
    };
    let snapshot = state.catalog.look_up(sku_id).await?;
    let added = state
        .store
        .add(cart, sku_id, quantity, &snapshot, key.as_deref())
        .await?;
    let mut response = HttpResponse::Ok();
    if added.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    Ok(response.json(state.body(added.cart)?))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetRequest {
    #[garde(skip)]
    quantity: Quantity,
}

/// Set the quantity of a line. Its price is read anew: so a changed price is accepted.
#[utoipa::path(put, path = "/v1/cart/items/{sku_id}", operation_id = "set_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku_id" = SkuId, Path)), request_body = SetRequest,
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, description = "CART_ITEM_NOT_FOUND, PRODUCT_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "PRODUCT_UNAVAILABLE, CART_CHECKED_OUT", body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn set(
    caller: Caller,
    path: web::Path<String>,
    body: Json<SetRequest>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let cart = own_cart(&caller)?;
    let sku_id: SkuId = parse_id(&path)?;
    let snapshot = state.catalog.look_up(sku_id).await?;
    let cart = state
        .store
        .set(cart, sku_id, body.value.quantity, &snapshot)
        .await?;
    Ok(HttpResponse::Ok().json(state.body(cart)?))
}

/// Take a line out.
#[utoipa::path(delete, path = "/v1/cart/items/{sku_id}", operation_id = "remove_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku_id" = SkuId, Path)),
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, description = "CART_ITEM_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "CART_CHECKED_OUT", body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn remove(
    caller: Caller,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let cart = own_cart(&caller)?;
    let cart = state.store.remove(cart, parse_id(&path)?).await?;
    Ok(HttpResponse::Ok().json(state.body(cart)?))
}
