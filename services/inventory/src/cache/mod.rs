//! What is remembered outside PostgreSQL, which stays the one that knows: reservations in Redis, for readers; the
//! counters of stock in this process, for those who reserve.

mod reservations;
mod stock;

pub use reservations::ReservationCache;
pub(crate) use stock::StockCache;
