use ferrocart_types::{ProductId, SkuId};

use super::Product;

/// What an event means to the index. Each carries the version of its product or SKU: an older one never
/// overwrites a newer one, so that events may come twice and in any order.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Upserted(Box<Product>),
    Deleted {
        product_id: ProductId,
        version: i64,
    },
    Stock {
        sku_id: SkuId,
        version: i64,
        /// Units for sale.
        available: i64,
    },
}
