//! The gateway's own endpoints: DTO, parse, call, map the error.

pub(crate) mod auth;
pub(crate) mod documents;
pub(crate) mod order_events;
pub(crate) mod users;
