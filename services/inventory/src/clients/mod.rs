//! The inventory service's view of its neighbours.

mod catalog;

pub(crate) use catalog::CatalogClient;
