//! What the index holds and what can be asked of it; pure.

mod change;
mod product;
mod query;

pub(crate) use change::Change;
pub(crate) use product::{Product, Rating, Variant};
pub(crate) use query::{
    After, FacetCount, Facets, Filters, Hit, Normalised, Request, Results, Sort, Suggestion, SuggestionKind,
};
