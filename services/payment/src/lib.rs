//! ferrocart-payment: one payment for an order, through one provider, each step at most once.
//!
//! `domain` knows the rules, `provider` speaks to the provider, `store` holds the SQL, `app` ties
//! them together; routes, consumers and workers call `app`.

pub mod app;
pub mod config;
pub mod domain;
pub mod provider;
pub mod startup;
pub mod store;

mod consumers;
mod error;
mod openapi;
mod routes;
mod workers;

pub use startup::Payment;
