//! The order service against real PostgreSQL and Kafka, with its neighbours faked: the fakes keep the
//! contracts and can fail, be slow, lose answers and act twice at every call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checkout;
mod crash;
mod events;
mod faults;
mod holds;
mod idempotency;
mod lifecycle;
mod outage;
mod partitions;
mod refunds;
mod shop;
mod steer;
mod store;
mod world;
