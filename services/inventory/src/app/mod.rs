//! Use cases: what a commit changes, and the changes of stock that people make.

mod book;
mod stock;

pub use book::{Actor, Book, Entry};
pub use stock::{Adjustment, Answered, Created, Respond, StockDesk};
