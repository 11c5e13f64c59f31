//! What runs beside the server.

mod mailed_links;

pub(crate) use mailed_links::{LinkMailer, Pages};
