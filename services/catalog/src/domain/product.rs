use std::collections::BTreeMap;

use ferrocart_types::{CategoryId, Money, ProductId, SkuId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::category::CategoryRef;
use super::content::{AttributeValue, Content, Image, VariantContent};
use super::rating::{Rating, RatingView};

/// Where a product is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Seen by its merchant alone.
    Draft,
    #[default]
    Active,
    /// No longer sold; its SKUs keep their ids.
    Archived,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Active, Self::Archived]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One sellable variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Variant {
    pub(crate) sku_id: SkuId,
    pub(crate) sku: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) price: Money,
}

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) merchant_id: UserId,
    pub(crate) handle: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    pub(crate) category: CategoryRef,
    pub(crate) attributes: BTreeMap<String, AttributeValue>,
    pub(crate) images: Vec<Image>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) status: Status,
    pub(crate) rating: Rating,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Product {
    /// What the merchant wrote, as they could send it again.
    pub(crate) fn content(&self) -> Content {
        Content {
            handle: self.handle.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            brand: self.brand.clone(),
            category: self.category.slug.clone(),
            attributes: self.attributes.clone(),
            images: self.images.clone(),
            variants: self
                .variants
                .iter()
                .map(|variant| VariantContent {
                    sku: variant.sku.clone(),
                    options: variant.options.clone(),
                    price: variant.price,
                })
                .collect(),
            status: self.status,
        }
    }

    pub(crate) fn view(&self) -> ProductView<'_> {
        ProductView {
            product_id: self.id,
            handle: &self.handle,
            title: &self.title,
            description: &self.description,
            brand: &self.brand,
            category_id: self.category.id,
            category: &self.category.slug,
            attributes: &self.attributes,
            images: &self.images,
            rating: self.rating.view(),
            variants: &self.variants,
            status: self.status,
            merchant_id: self.merchant_id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// A product as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct ProductView<'a> {
    product_id: ProductId,
    handle: &'a str,
    title: &'a str,
    description: &'a str,
    brand: &'a str,
    category_id: CategoryId,
    /// The category's slug.
    category: &'a str,
    #[schema(value_type = std::collections::HashMap<String, AttributeValue>)]
    attributes: &'a BTreeMap<String, AttributeValue>,
    #[schema(value_type = Vec<Image>)]
    images: &'a [Image],
    rating: RatingView,
    #[schema(value_type = Vec<Variant>)]
    variants: &'a [Variant],
    status: Status,
    merchant_id: UserId,
    /// Grows with every change, reviews included; the ETag.
    version: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the merchant last changed it; a review does not count.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}
