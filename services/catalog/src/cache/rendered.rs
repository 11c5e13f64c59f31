use std::sync::Arc;

use bytes::Bytes;
use ferrocart_types::{ProductId, Timestamp, UserId};
use serde::Deserialize;

use crate::domain::{ImageSizes, Product, Status, VariantView};

/// A product as it goes over the wire, with what is needed to decide who may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) id: ProductId,
    pub(crate) version: i64,
    pub(crate) status: Status,
    pub(crate) merchant_id: UserId,
    /// When the prices in the body are no longer right.
    pub(crate) price_changes_at: Option<Timestamp>,
    /// The JSON of the product.
    pub(crate) body: Bytes,
}

impl Rendered {
    pub(crate) fn of(
        product: &Product,
        now: Timestamp,
        images: &ImageSizes,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: product.id,
            version: product.version,
            status: product.status,
            merchant_id: product.merchant_id,
            price_changes_at: product.price_changes_after(now),
            body: serde_json::to_vec(&product.view(now, images))?.into(),
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
            price_changes_at: Option<Timestamp>,
        }
        let head: Head = serde_json::from_slice(&body)?;
        Ok(Self {
            id: head.product_id,
            version: head.version,
            status: head.status,
            merchant_id: head.merchant_id,
            price_changes_at: head.price_changes_at,
            body,
        })
    }

    pub(super) fn is_good_at(&self, now: Timestamp) -> bool {
        self.price_changes_at.is_none_or(|at| now < at)
    }

    /// The same with the prices of this time: the body says itself when which price holds, so that no store
    /// is asked when a sale begins or ends.
    pub(super) fn at(&self, now: Timestamp) -> Result<Self, serde_json::Error> {
        let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&self.body)?;
        let variants = body.remove("variants").unwrap_or_default();
        let variants: Vec<VariantView> = serde_json::from_value(variants)?;
        let price_changes_at = variants.iter().filter_map(|each| each.changes_after(now)).min();
        let variants: Vec<VariantView> = variants.into_iter().map(|each| each.at(now)).collect();
        body.insert("variants".to_owned(), serde_json::to_value(variants)?);
        match price_changes_at {
            Some(at) => body.insert("price_changes_at".to_owned(), serde_json::to_value(at)?),
            None => body.remove("price_changes_at"),
        };
        Ok(Self {
            price_changes_at,
            body: serde_json::to_vec(&body)?.into(),
            ..self.clone()
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
