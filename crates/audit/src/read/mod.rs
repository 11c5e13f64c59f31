//! What is read, and from where.

pub(crate) mod cursor;
pub(crate) mod postgres;
pub(crate) mod provider;
pub(crate) mod rows;
pub(crate) mod topics;
