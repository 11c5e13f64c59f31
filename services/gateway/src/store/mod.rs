//! The only place with SQL.

pub(crate) mod api_keys;
pub(crate) mod links;
pub(crate) mod sessions;
pub(crate) mod users;
