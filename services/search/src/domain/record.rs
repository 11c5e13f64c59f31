use ferrocart_types::{ProductId, SkuId};
use serde::{Deserialize, Serialize};

use super::Product;

/// What a document of the index stands for; kept whole, so that a change of one part
/// can write the document anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Product {
        product: Product,
        in_stock: bool,
    },
    /// Remembered, so that an older event does not bring the product back.
    Deleted {
        product_id: ProductId,
        version: i64,
    },
    /// Kept apart from the product, because it may be known before it.
    Stock {
        sku_id: SkuId,
        version: i64,
        available: i64,
    },
}

impl Record {
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Product { product, .. } => product_key(product.product_id),
            Self::Deleted { product_id, .. } => product_key(*product_id),
            Self::Stock { sku_id, .. } => stock_key(*sku_id),
        }
    }

    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Product { product, .. } => product.version,
            Self::Deleted { version, .. } | Self::Stock { version, .. } => *version,
        }
    }

    /// Of a SKU's stock: whether there is any.
    pub(crate) fn is_available(&self) -> bool {
        matches!(self, Self::Stock { available, .. } if *available > 0)
    }

    pub(crate) fn product(&self) -> Option<&Product> {
        match self {
            Self::Product { product, .. } => Some(product),
            Self::Deleted { .. } | Self::Stock { .. } => None,
        }
    }
}

pub(crate) fn product_key(product_id: ProductId) -> String {
    format!("p:{product_id}")
}

pub(crate) fn stock_key(sku_id: SkuId) -> String {
    format!("s:{sku_id}")
}
