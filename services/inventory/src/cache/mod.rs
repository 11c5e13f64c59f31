//! What Redis remembers for readers. PostgreSQL stays the one that knows.

mod reservations;

pub use reservations::ReservationCache;
