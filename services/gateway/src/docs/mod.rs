//! The merged OpenAPI document of all services, and the page that shows it.

mod document;
mod merge;
mod page;

pub(crate) use document::{Documents, refresh};
pub(crate) use page::Page;
