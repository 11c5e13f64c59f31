//! The only place with SQL.

pub(crate) mod sessions;
pub(crate) mod users;
