//! The order service: checkout as a durable saga, and an order's life after it.
//!
//! A saga calls inventory and payment step by step. Each step is recorded before it is tried and after
//! its outcome is known; whoever finds a saga that nobody drives goes on from the record. See
//! `domain::saga` for what follows what, `saga` for how it is driven.

mod app;
mod clients;
mod config;
mod consumers;
mod domain;
mod error;
mod events;
mod openapi;
mod routes;
mod saga;
mod snapshots;
mod startup;
mod store;
mod views;
mod workers;

pub use config::Settings;
pub use domain::Status;
pub use startup::{Application, Order};
#[doc(hidden)]
pub use store::orders::{LIST_OF_ALL, LIST_OF_CUSTOMER};
