mod order_cancelled;

pub(crate) use order_cancelled::OrderCancelledHandler;
