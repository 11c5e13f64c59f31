mod backlog;
mod keeper;

pub(crate) use backlog::{Backlog, watch};
pub(crate) use keeper::Keeper;
