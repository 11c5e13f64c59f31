//! The service against the provider's sandbox, PostgreSQL and Kafka.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod authorize;
mod breaker;
mod by_customer;
mod cost;
mod desk;
mod expiry;
mod money;
mod reconciliation;
mod recovery;
mod stripe_mock;
mod webhooks;
