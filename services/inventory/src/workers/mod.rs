//! What runs by itself.

mod housekeeper;
mod sweeper;

pub(crate) use housekeeper::Housekeeper;
pub(crate) use sweeper::Sweeper;
