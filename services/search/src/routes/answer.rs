use ferrocart_http_kit::encode_cursor;
use ferrocart_types::{Money, ProductId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::fingerprint;
use crate::domain::{After, FacetCount, Facets, Hit, Normalised, Rating, Results};
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
}

/// The facets that were asked for: at most the 100 most frequent values of each, the most frequent first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FacetCounts {
    /// Slugs; a product counts for its category and for all above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Vec<FacetCount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<Vec<FacetCount>>,
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
    pub(crate) fn new(results: Results, what: &Normalised) -> Result<Self, ServiceError> {
        let next_cursor = match results.next {
            None => None,
            Some(after) => Some(encode_cursor(&Cursor {
                after,
                of: fingerprint(what)?,
            })),
        };
        let Facets { category, brand } = results.facets;
        Ok(Self {
            items: results.hits.into_iter().filter_map(item).collect(),
            facets: FacetCounts { category, brand },
            total: results.total,
            next_cursor,
        })
    }
}

/// What is listed has a price, always.
fn item(hit: Hit) -> Option<SearchItem> {
    let (price_min, price_max) = hit.product.price_range()?;
    let category = hit.product.category().to_owned();
    let product = hit.product;
    Some(SearchItem {
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
