//! The cart service's view of its neighbours.

mod catalog;
mod inventory;

pub(crate) use catalog::{CatalogClient, LookUpError};
pub(crate) use inventory::InventoryClient;

/// Neighbours answer so many at once.
const SKUS_A_CALL: usize = 200;
/// SKUs whose offers are remembered for a moment.
const OFFERS_MAX: u64 = 100_000;
