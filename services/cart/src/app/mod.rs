//! The use cases.

mod look;

pub(crate) use look::look;
