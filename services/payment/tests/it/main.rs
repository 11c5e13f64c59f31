//! The service against the provider's sandbox, PostgreSQL and Kafka.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod authorize;
mod breaker;
mod cost;
mod desk;
mod money;
mod recovery;
mod webhooks;
