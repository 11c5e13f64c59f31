//! The only place with SQL.

mod admission;
mod changes;
mod drift;
mod history;
mod reservations;
mod sales;
mod stock;
mod waitlist;

pub use admission::{Basis, GovernedRow, govern, governed, lock_basis, ungovern};
pub use changes::{Changes, LedgerRow, MovedRow, PurchaseRow, StockRow, apply};
pub use drift::{Looked, keep_sums, look_at, look_closely, order_gaps};
pub use history::{PastChange, history};
pub use reservations::{find, lock, lock_due};
pub use sales::{
    SaleCount, Snapshot, bought, count_requests, due_sales, find_sale, insert_sale, list_sales, live_skus,
    lock_sale, snapshots, write_sale_state,
};
pub use stock::{insert_missing, learn_merchants, lock_stock, merchants, read_stock};
pub use waitlist::{
    ahead_of, due_tickets, end_tickets, find_ticket, finished, insert_ticket, next_in_line, tickets_of_sale,
    waiting_ticket, with_work,
};

/// Our own SQLSTATE, raised by `expect_rows`: rows were not as expected, nothing was changed.
pub const STALE: &str = "FS001";
