//! The sample catalog: a seeded generator of products that read like a real shop's, and a loader that
//! puts them into a running platform through the public API, as a merchant would.
//!
//! Product `n` depends on the seed and on `n` alone, so a larger catalog starts with the smaller one.

mod generate;
mod load;
mod product;
mod text;
mod vocabulary;

pub use generate::generate;
pub use load::{LoadOptions, Phase, Progress, Summary, load, log_in};
pub use product::{AttributeValue, Image, Money, Product, Variant};

/// The product every variant of which is sold out, whatever the seed. Its brand is [`SOLD_OUT_BRAND`].
pub const SOLD_OUT_HANDLE: &str = "cast-iron-skillet-emberline-first-edition";
/// No other product carries this brand, so `GET /v1/products?category=cookware&brand=` finds it alone.
pub const SOLD_OUT_BRAND: &str = "Emberline Foundry";
/// Every variant of the sold-out product.
pub const SOLD_OUT_SKUS: [&str; 2] = ["EMBERLINE-FIRST-26CM", "EMBERLINE-FIRST-30CM"];

/// The product of which there is exactly one unit, whatever the seed: one of [`SINGLE_UNIT_SKU`], none
/// of its other variant. Its brand is [`SINGLE_UNIT_BRAND`].
pub const SINGLE_UNIT_HANDLE: &str = "hiking-backpack-lastpeak-archive-edition";
/// No other product carries this brand, so `GET /v1/products?category=backpacks&brand=` finds it alone.
pub const SINGLE_UNIT_BRAND: &str = "Lastpeak";
/// The variant with the one unit.
pub const SINGLE_UNIT_SKU: &str = "LASTPEAK-ARCHIVE-FOREST";

/// A search that finds several products of every catalog of a hundred products or more.
pub const DEMO_QUERY: &str = "waterproof trail running shoe";

/// The currency of every price.
pub const CURRENCY: &str = "USD";

/// A category as the loader creates it: departments first, then their leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    pub slug: &'static str,
    pub name: &'static str,
    pub parent: Option<&'static str>,
}

/// All categories, every parent before its children.
pub fn categories() -> Vec<Category> {
    let departments = vocabulary::DEPARTMENTS.iter().map(|department| Category {
        slug: department.slug,
        name: department.name,
        parent: None,
    });
    let leaves = vocabulary::DEPARTMENTS.iter().flat_map(|department| {
        department.leaves.iter().map(|leaf| Category {
            slug: leaf.slug,
            name: leaf.name,
            parent: Some(department.slug),
        })
    });
    departments.chain(leaves).collect()
}
