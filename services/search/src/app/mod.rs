mod find;

pub(crate) use find::{Finder, fingerprint};
