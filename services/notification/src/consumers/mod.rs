//! Events that lead to notifications.

mod order_events;
mod parse;

pub(crate) use order_events::{BATCH_MAX, OrderEvents};
