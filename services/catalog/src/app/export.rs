//! Reading out what a merchant has.

use ferrocart_types::UserId;

use super::Catalog;
use crate::domain::Product;
use crate::error::CatalogError;
use crate::store;

/// Products that are read at once. The longest are 256 KiB each.
const PAGE: i64 = 50;

/// The merchant's next products in the order of their handles, in whatever status; none after the last.
pub(crate) async fn page(
    catalog: &Catalog,
    merchant: UserId,
    after: &str,
) -> Result<Vec<Product>, CatalogError> {
    Ok(store::products::of_merchant(&catalog.pool, merchant, after, PAGE).await?)
}
