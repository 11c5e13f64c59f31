//! The suite of `tests/it` against a real OpenSearch node.

#![allow(clippy::unwrap_used, reason = "test code panics where a test must fail")]
#![allow(dead_code, reason = "some of what is shared is for the index on disk alone")]

#[path = "../it/events.rs"]
mod events;
#[path = "../it/find.rs"]
mod find;
#[path = "../it/goods.rs"]
mod goods;
#[path = "../it/index.rs"]
mod index;
#[path = "../it/node.rs"]
mod node;
#[path = "../it/refusals.rs"]
mod refusals;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/text.rs"]
mod text;

/// The engine that the suite runs against.
pub(crate) async fn engine() -> String {
    node::url().await
}
