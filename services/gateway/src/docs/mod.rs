//! The merged OpenAPI document of all services, and the page that shows it.

mod document;
mod merge;
mod page;

pub(crate) use document::{Documents, own_document, public_document, refresh};
pub(crate) use page::Page;
