//! The whole service against real Kafka and Redis.

#![allow(clippy::unwrap_used, reason = "test code panics where a test must fail")]

mod crash;
mod events;
mod find;
mod goods;
mod index;
mod refusals;
mod support;
mod text;
