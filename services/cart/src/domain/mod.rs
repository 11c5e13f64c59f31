//! What a cart is; no I/O.

mod cart;

pub(crate) use cart::{Cart, CartId, CartStatus, InvalidCartId, Line, Snapshot};
