//! The catalog: categories, products with their variants, reviews; the bulk import; and the cached
//! read path in front of them.

mod app;
mod cache;
mod config;
mod consumers;
mod domain;
mod error;
mod openapi;
mod routes;
mod startup;
mod store;
mod workers;

pub use config::{CacheSettings, Settings};
pub use startup::{Application, CatalogService};
