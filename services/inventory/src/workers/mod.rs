//! What runs by itself.

mod housekeeper;
mod reconciler;
mod sweeper;

pub(crate) use housekeeper::Housekeeper;
pub(crate) use reconciler::Reconciler;
pub(crate) use sweeper::Sweeper;
