//! The HTTP API: parse, call, answer.

mod dto;
mod internal;
mod items;
mod own;

use actix_web::web::{self, ServiceConfig};
use ferrocart_http_kit::{Caller, Problem, Role};
use ferrocart_types::{Currency, SharedIds};

use crate::clients::{CatalogClient, InventoryClient};
use crate::domain::{Cart, CartId, Hints};
use crate::error::CartError;
use crate::store::CartStore;

pub(crate) use dto::{AvailabilityBody, CartBody, CartLineBody, CartStatusBody, NoticeBody, NoticeCode};
pub(crate) use internal::{__path_mark_checked_out, __path_read_any, CheckedOutRequest};
pub(crate) use items::{__path_add, __path_remove, __path_set, AddRequest, SetRequest};
pub(crate) use own::{__path_clear, __path_merge, __path_read, MergeRequest};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) store: CartStore,
    pub(crate) catalog: CatalogClient,
    pub(crate) inventory: InventoryClient,
    pub(crate) ids: SharedIds,
    pub(crate) currency: Currency,
}

impl State {
    fn body(&self, cart: Cart) -> Result<CartBody, CartError> {
        self.body_with(cart, &Hints::default())
    }

    fn body_with(&self, cart: Cart, hints: &Hints) -> Result<CartBody, CartError> {
        CartBody::new(cart, hints, self.currency)
    }
}

pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/cart")
                .route(web::get().to(own::read))
                .route(web::delete().to(own::clear)),
        )
        .route("/v1/cart/merge", web::post().to(own::merge))
        .route("/v1/cart/items", web::post().to(items::add))
        .service(
            web::resource("/v1/cart/items/{sku_id}")
                .route(web::put().to(items::set))
                .route(web::delete().to(items::remove)),
        )
        .route("/internal/v1/carts/{cart_id}", web::get().to(internal::read_any))
        .route(
            "/internal/v1/carts/{cart_id}/checked-out",
            web::post().to(internal::mark_checked_out),
        );
}

/// The caller's own cart.
fn own_cart(caller: &Caller) -> Result<CartId, Problem> {
    caller.require_any(&[Role::Guest, Role::Customer])?;
    let user = caller.user()?;
    let id = user.user_id.as_uuid();
    Ok(if caller.has_role(Role::Guest) {
        CartId::Guest(id)
    } else {
        CartId::User(id)
    })
}
