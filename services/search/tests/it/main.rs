//! The whole service against real Kafka and Redis.

mod events;
mod find;
mod goods;
mod index;
mod refusals;
mod support;
mod text;
