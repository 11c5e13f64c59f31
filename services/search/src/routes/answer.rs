use ferrocart_http_kit::encode_cursor;
use ferrocart_types::{Money, ProductId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::fingerprint;
use crate::domain::{After, FacetCounts, Hit, Normalised, Rating, Results};
use crate::engine::language::Highlighter;
use crate::error::ServiceError;

/// One page of what was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchAnswer {
    items: Vec<SearchItem>,
    facets: FacetCounts,
    /// All that was found, on this page or not.
    total: u64,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What was probably meant, if a word was typed that no product holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchItem {
    product_id: ProductId,
    title: String,
    brand: String,
    /// The slug of the product's own category.
    category: String,
    /// The lowest price of the product's variants.
    price_min: Money,
    price_max: Money,
    rating: RatingView,
    /// Whether any variant can be bought right now.
    in_stock: bool,
    /// The URL of the first image.
    image: Option<String>,
    /// Where the words were found; absent when browsing.
    #[serde(skip_serializing_if = "Highlights::is_empty")]
    highlights: Highlights,
}

/// HTML, all escaped, in which the words that were meant stand in `<em>`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Highlights {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The part that says the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl Highlights {
    fn is_empty(&self) -> bool {
        self.title.is_none() && self.description.is_none()
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RatingView {
    /// Stars, with two decimals; 0 without a review.
    #[schema(example = 4.25)]
    average: f64,
    count: u32,
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    #[serde(flatten)]
    pub(super) after: After,
    pub(super) of: String,
}

impl SearchAnswer {
    pub(crate) fn new(
        results: Results,
        what: &Normalised,
        highlighter: &Highlighter,
    ) -> Result<Self, ServiceError> {
        let next_cursor = match results.next {
            None => None,
            Some(after) => Some(encode_cursor(&Cursor {
                after,
                of: fingerprint(what)?,
            })),
        };
        Ok(Self {
            items: results
                .hits
                .into_iter()
                .filter_map(|hit| item(hit, highlighter))
                .collect(),
            facets: results.facets,
            total: results.total,
            next_cursor,
            did_you_mean: results.did_you_mean,
        })
    }
}

/// What is listed has a price, always.
fn item(hit: Hit, highlighter: &Highlighter) -> Option<SearchItem> {
    let (price_min, price_max) = hit.product.price_range()?;
    let category = hit.product.category().to_owned();
    let product = hit.product;
    Some(SearchItem {
        highlights: Highlights {
            title: highlighter.whole(&product.title),
            description: highlighter.snippet(&product.description),
        },
        product_id: product.product_id,
        title: product.title,
        brand: product.brand,
        category,
        price_min,
        price_max,
        rating: RatingView::from(product.rating),
        in_stock: hit.in_stock,
        image: product.image,
    })
}

impl From<Rating> for RatingView {
    #[expect(
        clippy::float_arithmetic,
        reason = "JSON has no other numbers, and nobody calculates with stars"
    )]
    fn from(rating: Rating) -> Self {
        Self {
            average: f64::from(rating.hundredths) / 100.0,
            count: rating.count,
        }
    }
}
