//! The whole service against real Kafka and Redis.

#![allow(clippy::unwrap_used, reason = "test code panics where a test must fail")]

mod crash;
mod events;
mod find;
mod folders;
mod goods;
mod index;
mod refusals;
mod support;
mod text;

/// The engine that the suite runs against.
pub(crate) fn engine() -> impl Future<Output = String> {
    std::future::ready("embedded".to_owned())
}
