//! Live order status: the feed that connections listen to, and the reader that fills it.

mod feed;
mod tail;

pub(crate) use feed::{Feed, OrderChange, StreamSlot, Subscription};
pub(crate) use tail::tail;
