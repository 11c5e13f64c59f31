//! What happens to orders and to stock, live: the feeds that connections listen to, and the readers that fill them.

mod events;
mod feed;
mod order;
mod stock;
mod tail;

pub(crate) use events::Ear;
pub(crate) use feed::Feed;
pub(crate) use order::{OrderChange, is_final};
pub(crate) use stock::StockChange;
pub(crate) use tail::tail;
