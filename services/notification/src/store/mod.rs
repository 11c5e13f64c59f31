//! The only place with SQL.

mod notifications;
mod queue;

pub(crate) use notifications::{insert, list};
pub(crate) use queue::{Claimed, Setback, Taken, backlog, claim, mark_sent, set_back};
