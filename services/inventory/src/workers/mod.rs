//! What runs by itself.

mod housekeeper;
mod line;
mod reconciler;
mod sweeper;

pub(crate) use housekeeper::Housekeeper;
pub(crate) use line::{SaleKeeper, Server as LineServer};
pub(crate) use reconciler::Reconciler;
pub(crate) use sweeper::Sweeper;
