//! The cart service: carts of guests and users in Redis, their store of record.

mod app;
mod clients;
mod config;
mod consumers;
mod domain;
mod error;
mod openapi;
mod routes;
mod startup;
mod store;

pub use config::{CartLimits, Settings};
pub use startup::{Application, CartService};
