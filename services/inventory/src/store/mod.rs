//! The only place with SQL.

mod admission;
mod changes;
mod drift;
mod history;
mod reservations;
mod stock;

pub use admission::{Basis, GovernedRow, govern, governed, lock_basis, ungovern};
pub use changes::{Changes, LedgerRow, MovedRow, StockRow, apply};
pub use drift::{Looked, keep_sums, look_at, look_closely, order_gaps};
pub use history::{PastChange, history};
pub use reservations::{find, lock, lock_due};
pub use stock::{insert_missing, learn_merchants, lock_stock, merchants, read_stock};

/// Our own SQLSTATE, raised by `expect_rows`: rows were not as expected, nothing was changed.
pub const STALE: &str = "FS001";
