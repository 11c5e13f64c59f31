//! What a product is and how it changes; no I/O.

mod attributes;
mod category;
mod columns;
mod content;
mod event;
mod image;
mod import;
mod plan;
mod product;
mod rating;
mod sale;
mod text;

pub(crate) use attributes::{AttributeRule, AttributeRules, CategoryAttributes};
pub(crate) use category::{
    CATEGORIES_MAX, Category, CategoryRef, CategoryTree, DEPTH_MAX, NewCategory, RuledCategory,
};
pub(crate) use columns::{Columns, Fault, HEADER, rows};
pub(crate) use content::{AttributeValue, Content, ContentPatch, Image, VARIANTS_MAX, VariantContent};
pub(crate) use event::{Change, changed};
pub(crate) use image::ImageSizes;
pub(crate) use import::{Counts, Format, Import, ImportId, Mark};
pub(crate) use plan::{Planned, Refusal, SkuOwner, plan};
pub(crate) use product::{Product, ProductView, Status, Variant, VariantView};
pub(crate) use rating::{Rating, ReviewStatus, Stars};
pub(crate) use text::{block, line};
