//! What a product is and how it changes; no I/O.

mod category;
mod content;
mod event;
mod image;
mod plan;
mod product;
mod rating;
mod sale;
mod text;

pub(crate) use category::{CATEGORIES_MAX, Category, CategoryRef, CategoryTree, DEPTH_MAX, NewCategory};
pub(crate) use content::{AttributeValue, Content, ContentPatch, Image};
pub(crate) use event::{Change, changed};
pub(crate) use image::ImageSizes;
pub(crate) use plan::{Planned, Refusal, SkuOwner, plan};
pub(crate) use product::{Product, ProductView, Status, Variant, VariantView};
pub(crate) use rating::{Rating, ReviewStatus, Stars};
pub(crate) use text::{block, line};
