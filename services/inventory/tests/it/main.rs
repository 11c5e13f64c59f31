//! The inventory service against real PostgreSQL and Kafka.

#![allow(clippy::missing_panics_doc, reason = "tests panic where they must fail")]

mod admission;
mod admission_faults;
mod batches;
mod catalog;
mod drift;
mod events;
mod faults;
mod harness;
mod holds;
mod keys;
mod lifecycle;
mod owners;
mod proxy;
mod races;
mod records;
mod refusals;
mod reservation_cache;
mod sales;
mod stock;
mod waitlist;
