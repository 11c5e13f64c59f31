mod find;
mod serving;

pub(crate) use find::{Finder, fingerprint};
pub(crate) use serving::{AlreadyRebuilding, Followed, Serving};
