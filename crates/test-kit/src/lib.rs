//! For tests only: real stores, a database and topics per test, identities, and waiting for a
//! condition instead of sleeping.
//!
//! The stores are started by `make test`, or for one package by
//! `cargo run -p ferrocart-stack -- test-env -- cargo test -p ferrocart-order`.

#![allow(
    clippy::missing_errors_doc,
    reason = "test code panics where a test must fail"
)]

mod api;
mod env;
mod events;
mod keys;
mod postgres;
mod redis;
mod wait;

pub use api::{Answer, Api};
pub use env::TestEnv;
pub use events::EventLog;
pub use keys::{SERVICES, TestKeys};
pub use postgres::PostgresServer;
pub use redis::{RedisCluster, RedisServer};
pub use wait::{eventually, eventually_within};
