//! The service against its real stores.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod proxy;
mod support;

mod attributes;
mod bulk;
mod cache;
mod engines;
mod events;
mod import;
mod moderation;
mod paging;
mod products;
mod reviews;
mod sales;
