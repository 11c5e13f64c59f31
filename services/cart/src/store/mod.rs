//! Carts in Redis; the only place that knows keys and scripts.

mod carts;
mod hash;

pub(crate) use carts::{CartStore, ChangeError};
