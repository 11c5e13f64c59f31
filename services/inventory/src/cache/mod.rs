//! What is remembered outside PostgreSQL, which stays the one that knows: reservations in Redis, for readers; the
//! counters of stock in this process, for those who reserve; and what this process granted, for those who
//! confirm.

mod recent;
mod reservations;
mod stock;

pub(crate) use recent::Recent;
pub use reservations::ReservationCache;
pub(crate) use stock::StockCache;
