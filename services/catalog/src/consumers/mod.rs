pub(crate) mod cache_repair;
pub(crate) mod order_delivered;
