use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, Problem, ProblemBody, Role};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{CartBody, State, own_cart};
use crate::app::look;
use crate::domain::Hints;
use crate::error::CartError;

/// Read your cart, with the prices of today and what is left of each SKU. An empty one is an answer, not an
/// error. A changed price is taken over and told in `notices` until the line is changed.
#[utoipa::path(get, path = "/v1/cart", operation_id = "read_cart", tag = "cart", security(("bearer" = [])),
    responses((status = 200, body = CartBody), (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn read(caller: Caller, state: web::Data<State>) -> Result<HttpResponse, CartError> {
    let cart = state.store.read(own_cart(&caller)?).await?;
    let (cart, hints) = look(&state.store, &state.catalog, &state.inventory, cart).await?;
    Ok(HttpResponse::Ok().json(state.body_with(cart, &hints)?))
}

/// Empty your cart.
#[utoipa::path(delete, path = "/v1/cart", operation_id = "clear_cart", tag = "cart", security(("bearer" = [])),
    responses((status = 200, body = CartBody), (status = 401, body = ProblemBody),
        (status = 409, description = "CART_CHECKED_OUT", body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn clear(caller: Caller, state: web::Data<State>) -> Result<HttpResponse, CartError> {
    let cart = state.store.clear(own_cart(&caller)?).await?;
    Ok(HttpResponse::Ok().json(state.body(cart)?))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeRequest {
    /// The access token of the guest session; the gateway checks it.
    #[garde(length(min = 1, max = 4096))]
    pub(super) guest_token: String,
}

/// Move the cart of a guest session into yours, after a login. Each line arrives once, however often the
/// call is repeated; what does not fit is named in `notices`.
#[utoipa::path(post, path = "/v1/cart/merge", operation_id = "merge_cart", tag = "cart", security(("bearer" = [])), request_body = MergeRequest,
    responses((status = 200, body = CartBody), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 409, description = "CART_CHECKED_OUT", body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn merge(
    caller: Caller,
    _body: Json<MergeRequest>,
    state: web::Data<State>,
) -> Result<HttpResponse, CartError> {
    let user = caller.user()?;
    if caller.has_role(Role::Guest) {
        return Err(Problem::forbidden("log in first: a guest's cart is merged into a user's").into());
    }
    let guest = user
        .guest_session
        .ok_or_else(|| Problem::invalid_field("guest_token", "is not the token of a guest session"))?;
    let (user, parcel) = (user.user_id.as_uuid(), state.ids.next());
    let merged = state.store.merge(user, guest, parcel).await?;
    let (cart, hints) = look(&state.store, &state.catalog, &state.inventory, merged.cart).await?;
    let hints = Hints {
        left_out: merged.left_out,
        ..hints
    };
    Ok(HttpResponse::Ok().json(state.body_with(cart, &hints)?))
}
