//! Carts in Redis; the only place that knows keys and scripts.

mod carts;
mod durability;
mod hash;

pub(crate) use carts::{CartStore, ChangeError};
pub(crate) use durability::Durability;
