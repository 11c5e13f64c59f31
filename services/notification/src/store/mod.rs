//! The only place with SQL.

mod contacts;
mod notifications;
mod queue;

pub(crate) use contacts::{preferences, replace_preferences};
pub(crate) use notifications::{insert, list};
pub(crate) use queue::{Claimed, Setback, Taken, backlog, claim, mark_sent, set_back};
