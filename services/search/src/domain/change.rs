use ferrocart_types::{ProductId, SkuId};

use super::{Product, product_key, stock_key};

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

impl Change {
    /// Of the record that it is about.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Upserted(product) => product_key(product.product_id),
            Self::Deleted { product_id, .. } => product_key(*product_id),
            Self::Stock { sku_id, .. } => stock_key(*sku_id),
        }
    }

    pub(crate) fn sku_id(&self) -> Option<SkuId> {
        match self {
            Self::Stock { sku_id, .. } => Some(*sku_id),
            Self::Upserted(_) | Self::Deleted { .. } => None,
        }
    }

    pub(crate) fn product(&self) -> Option<&Product> {
        match self {
            Self::Upserted(product) => Some(product),
            Self::Deleted { .. } | Self::Stock { .. } => None,
        }
    }
}
