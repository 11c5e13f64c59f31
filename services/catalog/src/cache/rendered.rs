use std::sync::Arc;

use bytes::Bytes;
use ferrocart_types::{ProductId, UserId};
use serde::Deserialize;

use crate::domain::{Product, Status};

/// A product as it goes over the wire, with what is needed to decide who may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) id: ProductId,
    pub(crate) version: i64,
    pub(crate) status: Status,
    pub(crate) merchant_id: UserId,
    /// The JSON of the product.
    pub(crate) body: Bytes,
}

impl Rendered {
    pub(crate) fn of(product: &Product) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: product.id,
            version: product.version,
            status: product.status,
            merchant_id: product.merchant_id,
            body: serde_json::to_vec(&product.view())?.into(),
        })
    }

    /// From its own JSON.
    pub(super) fn from_body(body: Bytes) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            product_id: ProductId,
            version: i64,
            status: Status,
            merchant_id: UserId,
        }
        let head: Head = serde_json::from_slice(&body)?;
        Ok(Self {
            id: head.product_id,
            version: head.version,
            status: head.status,
            merchant_id: head.merchant_id,
            body,
        })
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> u32 {
        u32::try_from(self.body.len() + size_of::<Self>()).unwrap_or(u32::MAX)
    }
}

/// A product, or the knowledge that there is none.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Product(Arc<Rendered>),
    Absent,
}

impl Found {
    /// 0 for none: a product that is created after it was asked for has a higher one.
    pub(super) fn version(&self) -> i64 {
        match self {
            Self::Product(product) => product.version,
            Self::Absent => 0,
        }
    }

    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Product(product) => product.weight(),
            Self::Absent => 64,
        }
    }
}
