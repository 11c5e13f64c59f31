use std::collections::{BTreeMap, BTreeSet};

use ferrocart_types::ProductId;
use serde::{Deserialize, Serialize};

use super::{FacetCounts, FacetName, Product};

/// One search, its values checked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) what: Normalised,
    pub(crate) facets: BTreeSet<FacetName>,
    pub(crate) limit: usize,
    pub(crate) after: Option<After>,
}

/// What is searched for and in which order: the part of a request that all its pages share. Two
/// requests that mean the same are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Normalised {
    /// Lower case, single spaces; empty to browse.
    pub(crate) text: String,
    pub(crate) filters: Filters,
    pub(crate) sort: Sort,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Filters {
    /// A slug; finds what is in its descendants too.
    pub(crate) category: Option<String>,
    pub(crate) brand: Option<String>,
    pub(crate) price_min: Option<i64>,
    pub(crate) price_max: Option<i64>,
    pub(crate) rating_min_hundredths: Option<u32>,
    pub(crate) in_stock: Option<bool>,
    /// By name: the values of which a product or one of its variants must have any.
    pub(crate) attributes: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    #[default]
    Relevance,
    /// By the lowest price of a product's variants.
    PriceAsc,
    /// By the lowest price of a product's variants.
    PriceDesc,
    Newest,
    Rating,
}

/// The last hit of the page before; the next page holds what comes after it in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct After {
    /// The hit's place in the chosen order: lower comes first.
    pub(crate) rank: i64,
    /// Settles ties.
    pub(crate) product_id: ProductId,
    /// Whether the first page found nothing that holds all the words and asked for any of them. The
    /// pages after it must not decide that anew.
    pub(crate) relaxed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Results {
    pub(crate) hits: Vec<Hit>,
    pub(crate) facets: FacetCounts,
    /// All hits, on this page or not.
    pub(crate) total: u64,
    /// Where to read on, if there is more.
    pub(crate) next: Option<After>,
    /// The text with its unknown words replaced by known ones that are close.
    pub(crate) did_you_mean: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) product: Product,
    pub(crate) in_stock: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Suggestion {
    pub(crate) text: String,
    pub(crate) kind: SuggestionKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SuggestionKind {
    Brand,
    Product,
}

/// Brands, then titles; of these, those that begin with what was typed first, each group in its order.
pub(crate) fn complete(
    typed: &str,
    brands: Vec<String>,
    mut titles: Vec<String>,
    limit: usize,
) -> Vec<Suggestion> {
    let beginning = typed.to_lowercase();
    titles.sort_by_key(|title| !title.to_lowercase().starts_with(&beginning));
    let mut seen = BTreeSet::new();
    titles.retain(|title| seen.insert(title.to_lowercase()));
    let kinds = |kind| move |text| Suggestion { text, kind };
    let brands = brands.into_iter().map(kinds(SuggestionKind::Brand));
    let titles = titles.into_iter().map(kinds(SuggestionKind::Product));
    brands.chain(titles).take(limit).collect()
}
