//! The gateway's own endpoints: DTO, parse, call, map the error.

pub(crate) mod api_keys;
pub(crate) mod auth;
pub(crate) mod documents;
pub(crate) mod email_changes;
pub(crate) mod oauth;
pub(crate) mod order_events;
pub(crate) mod password_resets;
pub(crate) mod stock_events;
pub(crate) mod users;
