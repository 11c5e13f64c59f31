use std::collections::BTreeMap;

use ferrocart_types::{CategoryId, Money, ProductId, SkuId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::category::CategoryRef;
use super::content::{AttributeValue, Content, Image, VariantContent};
use super::image::{ImageSizes, ImageView};
use super::rating::{Rating, RatingView};
use super::sale::{Sale, price_at};

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

/// One sellable variant, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Variant {
    pub(crate) sku_id: SkuId,
    pub(crate) sku: String,
    pub(crate) options: BTreeMap<String, String>,
    /// The regular one.
    pub(crate) price: Money,
    pub(crate) sale: Option<Sale>,
}

impl Variant {
    pub(crate) fn price_at(&self, now: Timestamp) -> Money {
        price_at(self.price, self.sale.as_ref(), now)
    }
}

/// One sellable variant, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Variant)]
pub(crate) struct VariantView {
    sku_id: SkuId,
    sku: String,
    options: BTreeMap<String, String>,
    /// What it costs now.
    price: Money,
    /// What it costs without the sale that is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regular_price: Option<Money>,
    /// The sale that is on, or the one to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sale: Option<Sale>,
}

impl VariantView {
    fn of(variant: &Variant, now: Timestamp) -> Self {
        Self {
            sku_id: variant.sku_id,
            sku: variant.sku.clone(),
            options: variant.options.clone(),
            price: variant.price,
            regular_price: None,
            sale: variant.sale,
        }
        .at(now)
    }

    /// The same at another time.
    pub(crate) fn at(self, now: Timestamp) -> Self {
        let regular = self.regular_price.unwrap_or(self.price);
        let sale = self.sale.filter(|sale| !sale.is_over_at(now));
        let on_sale = sale.is_some_and(|sale| sale.runs_at(now));
        Self {
            price: price_at(regular, sale.as_ref(), now),
            regular_price: on_sale.then_some(regular),
            sale,
            ..self
        }
    }

    pub(crate) fn changes_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.sale?.changes_after(now)
    }
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
                    sale: variant.sale,
                })
                .collect(),
            status: self.status,
        }
    }

    /// When the price of one of its variants changes next by itself.
    pub(crate) fn price_changes_after(&self, now: Timestamp) -> Option<Timestamp> {
        let sales = self.variants.iter().filter_map(|variant| variant.sale);
        sales.filter_map(|sale| sale.changes_after(now)).min()
    }

    pub(crate) fn view(&self, now: Timestamp, images: &ImageSizes) -> ProductView<'_> {
        ProductView {
            product_id: self.id,
            handle: &self.handle,
            title: &self.title,
            description: &self.description,
            brand: &self.brand,
            category_id: self.category.id,
            category: &self.category.slug,
            attributes: &self.attributes,
            images: self.images.iter().map(|image| images.view(image)).collect(),
            rating: self.rating.view(),
            variants: self
                .variants
                .iter()
                .map(|variant| VariantView::of(variant, now))
                .collect(),
            price_changes_at: self.price_changes_after(now),
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
    images: Vec<ImageView<'a>>,
    rating: RatingView,
    variants: Vec<VariantView>,
    /// When a sale begins or ends next. The `ETag` changes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    price_changes_at: Option<Timestamp>,
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
