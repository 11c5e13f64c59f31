//! Use cases: what a commit changes, and the changes of stock that people make.

mod book;
mod ownership;
mod stock;

pub use book::{Actor, Book, Entry};
pub(crate) use ownership::Ownership;
pub use stock::{Adjustment, Answered, Created, Initialisation, Respond, StockDesk};
