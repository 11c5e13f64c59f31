//! Use cases: what a commit changes, and the changes of stock that people make.

mod book;
mod drift;
mod once;
mod ownership;
mod stock;

pub use book::{Actor, Book, Entry};
pub(crate) use drift::{DriftDesk, Outcome, Report};
pub use once::Answered;
pub(crate) use once::once;
pub(crate) use ownership::Ownership;
pub use stock::{Adjustment, Created, Initialisation, Respond, RespondCreated, StockDesk};
