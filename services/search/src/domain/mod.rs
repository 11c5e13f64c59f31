//! What the index holds and what can be asked of it; pure.

mod change;
mod facet;
mod product;
mod query;
mod record;

pub(crate) use change::Change;
pub(crate) use facet::{
    FacetCount, FacetCounts, FacetName, PRICE_EDGES, STARS, Tally, attribute_value, counts, most_frequent,
    price_band, price_bands,
};
pub(crate) use product::{Product, Rating, Variant};
pub(crate) use query::{After, Filters, Hit, Normalised, Request, Results, Sort, Suggestion, complete};
pub(crate) use record::{Record, product_key, stock_key};
