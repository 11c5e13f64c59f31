use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many units of one SKU a line asks for: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64", into = "i64")]
#[schema(value_type = i64, minimum = 1, maximum = 10_000, example = 1)]
pub struct Quantity(u16);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to {}", Quantity::MAX)]
pub struct InvalidQuantity;

impl Quantity {
    pub const MAX: u16 = 10_000;
    pub const ONE: Self = Self(1);

    pub fn new(value: i64) -> Result<Self, InvalidQuantity> {
        match u16::try_from(value) {
            Ok(value @ 1..=Self::MAX) => Ok(Self(value)),
            _ => Err(InvalidQuantity),
        }
    }

    pub fn get(self) -> i64 {
        i64::from(self.0)
    }

    pub fn as_u32(self) -> u32 {
        u32::from(self.0)
    }

    pub fn as_i32(self) -> i32 {
        i32::from(self.0)
    }
}

impl TryFrom<i64> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(value: i64) -> Result<Self, InvalidQuantity> {
        Self::new(value)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        quantity.get()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_only_what_can_be_bought() {
        for bad in [i64::MIN, -1, 0, 10_001, i64::MAX] {
            assert!(Quantity::new(bad).is_err(), "{bad} was taken");
        }
        for good in [1, 2, 10_000] {
            assert_eq!(Quantity::new(good).unwrap().get(), good);
        }
    }
}
