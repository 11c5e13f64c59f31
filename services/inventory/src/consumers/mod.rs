//! Events of other services that change stock.

mod order_cancelled;

pub(crate) use order_cancelled::OrderCancellations;
