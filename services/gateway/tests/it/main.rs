//! The gateway against real stores, with a small service of the test's behind it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_keys;
mod balancing;
mod docs;
mod email_changes;
mod forwarding;
mod identity;
mod limits;
mod order_events;
mod outside_issuer;
mod password_resets;
mod password_tries;
mod roles;
mod stock_events;
mod tls;
mod tokens;
mod upstream;
mod world;
