//! What a cart is; no I/O.

mod cart;

pub(crate) use cart::{Cart, CartId, CartStatus, Hints, InvalidCartId, Line, Offer, Snapshot};
