//! The sandbox over real HTTP.
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests fail by panicking, as the tests do"
)]

mod browser;
mod client;
mod durability;
mod idempotency;
mod methods;
mod payments;
mod spec;
mod webhooks;
