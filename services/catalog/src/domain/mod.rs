//! What a product is and how it changes; no I/O.

mod category;
mod content;
mod event;
mod plan;
mod product;
mod rating;
mod text;

pub(crate) use category::{CATEGORIES_MAX, Category, CategoryRef, CategoryTree, DEPTH_MAX, NewCategory};
pub(crate) use content::{AttributeValue, Content, ContentPatch, Image};
pub(crate) use event::{Change, changed};
pub(crate) use plan::{Planned, Refusal, SkuOwner, plan};
pub(crate) use product::{Product, ProductView, Status, Variant};
pub(crate) use rating::{Rating, ReviewStatus, Stars};
pub(crate) use text::{block, line};
