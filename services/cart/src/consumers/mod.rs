//! Events that change carts.

mod order_events;

pub(crate) use order_events::OrderEvents;
