//! Search: an index of the catalog, built from catalog-events and inventory-events alone, so that it
//! can be thrown away and replayed at any time.

mod app;
mod config;
mod consumers;
mod domain;
mod engine;
mod error;
mod openapi;
mod routes;
mod startup;
mod store;
mod workers;

pub use config::Settings;
pub use startup::{Application, Search};
