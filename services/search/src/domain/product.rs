use std::collections::{BTreeMap, BTreeSet};

use ferrocart_types::{Money, ProductId, SkuId, Timestamp};
use serde::{Deserialize, Serialize};

use super::attribute_value;

/// Longer values are prose, which nobody chooses from a list.
const FACET_VALUE_BYTES_MAX: usize = 100;

/// A product as the index keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Product {
    #[expect(clippy::struct_field_names, reason = "its name everywhere")]
    pub(crate) product_id: ProductId,
    pub(crate) version: i64,
    pub(crate) active: bool,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    /// Slugs from the root of the category tree to the product's own category.
    pub(crate) category_path: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) image: Option<String>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) rating: Rating,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) sku_id: SkuId,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) price: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rating {
    /// The average in hundredths of a star.
    pub(crate) hundredths: u32,
    pub(crate) count: u32,
}

impl Product {
    /// The lowest and the highest price; `None` without a variant.
    pub(crate) fn price_range(&self) -> Option<(Money, Money)> {
        let prices = || self.variants.iter().map(|variant| variant.price);
        Some((
            prices().min_by_key(|price| price.amount_minor)?,
            prices().max_by_key(|price| price.amount_minor)?,
        ))
    }

    /// Only what is active and can be bought is ever found.
    pub(crate) fn listed(&self) -> bool {
        self.active && !self.variants.is_empty()
    }

    /// "material: leather" is found by both words, "waterproof: true" by its name, "waterproof: false" by none.
    pub(crate) fn attribute_texts(&self) -> Vec<&str> {
        self.all_attributes()
            .flat_map(|(name, value)| match value.as_str() {
                "true" => [Some(name.as_str()), None],
                "false" => [None, None],
                value => [Some(name.as_str()), Some(value)],
            })
            .flatten()
            .collect()
    }

    /// What the attributes' facet counts, each once: of the product and of any of its variants.
    pub(crate) fn facet_attributes(&self) -> BTreeSet<String> {
        self.all_attributes()
            .filter(|(_, value)| value.len() <= FACET_VALUE_BYTES_MAX)
            .map(|(name, value)| attribute_value(name, value))
            .collect()
    }

    fn all_attributes(&self) -> impl Iterator<Item = (&String, &String)> {
        let options = self.variants.iter().flat_map(|variant| &variant.options);
        self.attributes.iter().chain(options)
    }

    pub(crate) fn category(&self) -> &str {
        self.category_path.last().map_or("", String::as_str)
    }
}

impl Rating {
    /// Orders by average, then by how many think so.
    pub(crate) fn rank(self) -> i64 {
        (i64::from(self.hundredths) << 32) | i64::from(self.count)
    }
}
