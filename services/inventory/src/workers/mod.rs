//! What runs by itself.

mod sweeper;

pub(crate) use sweeper::Sweeper;
