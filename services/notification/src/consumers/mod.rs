//! Events that lead to messages.

mod merchant_events;
mod merchant_news;
mod order_events;
mod parse;

pub(crate) use merchant_events::MerchantEvents;
pub(crate) use merchant_news::body;
pub(crate) use order_events::{BATCH_MAX, OrderEvents};
