//! Use cases: what a commit changes, and the changes of stock that people make.

mod book;
mod drift;
mod holds;
mod meter;
mod once;
mod ownership;
mod sales;
mod stock;
mod waiters;
mod waitlist;

pub use book::{Actor, Book, Entry};
pub(crate) use drift::{DriftDesk, Outcome, Report};
pub(crate) use holds::{HoldDesk, HoldRequest};
pub(crate) use meter::{SaleMeter, View};
pub use once::Answered;
pub(crate) use once::{once, once_for};
pub(crate) use ownership::Ownership;
pub(crate) use sales::SaleDesk;
pub use stock::{Adjustment, Created, Initialisation, Respond, RespondCreated, StockDesk};
pub use waiters::Waiters;
pub(crate) use waiters::Watching;
pub(crate) use waitlist::{Joining, WaitDesk};
