//! Stock and reservations: no unit is ever sold twice, and what was acknowledged is durable.
//!
//! Reservations, confirmations, releases and deductions go through the [`batcher`], which commits many
//! of them at once; changes of stock by people are few and run in transactions of their own.

pub mod admission;
pub mod app;
pub mod batcher;
pub mod cache;
mod clients;
mod config;
mod consumers;
pub mod domain;
mod error;
mod openapi;
mod routes;
mod startup;
pub mod store;
mod workers;

pub use config::{AdmissionSettings, BatcherSettings, DEFAULTS, SaleSettings, Settings};
pub use error::ServiceError;
pub use startup::{Application, Inventory};

/// The service's name: in tokens, metrics, consumer groups and the source of its events.
pub const SERVICE: &str = "inventory";
