//! The whole platform on real stores, as native processes: what a buyer does, what an analytics team
//! reads, and what is left when processes are killed in the middle of a rush.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditor;
mod dashboards;
mod key_rotation;
mod line;
mod matrix;
mod matrix_table;
mod platform;
mod public_api;
mod purchase;
mod refunds;
mod replicas;
mod rush;
