use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use ferrocart_types::{Currency, Money, MoneyError, OrderId, ProductId, Quantity, SkuId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose cart it is: `user:<uuid>` or `guest:<uuid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CartId {
    User(Uuid),
    Guest(Uuid),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cart id: user:<uuid> or guest:<uuid> is expected")]
pub(crate) struct InvalidCartId;

impl fmt::Display for CartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Guest(id) => write!(f, "guest:{id}"),
        }
    }
}

impl FromStr for CartId {
    type Err = InvalidCartId;

    fn from_str(text: &str) -> Result<Self, InvalidCartId> {
        let (kind, id) = text.split_once(':').ok_or(InvalidCartId)?;
        let id = Uuid::parse_str(id).map_err(|_| InvalidCartId)?;
        match kind {
            "user" => Ok(Self::User(id)),
            "guest" => Ok(Self::Guest(id)),
            _ => Err(InvalidCartId),
        }
    }
}

/// What the catalog said of a SKU when it was put into the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) unit_price: Money,
    /// What it cost before the price changed in the cart, until the buyer changes the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous_unit_price: Option<Money>,
}

impl Snapshot {
    /// This one as the catalog tells it now, when its price is another one; remembers the price that the
    /// buyer chose it at.
    pub(crate) fn repriced(&self, today: &Self) -> Option<Self> {
        if today.unit_price == self.unit_price {
            return None;
        }
        let chosen_at = self.previous_unit_price.unwrap_or(self.unit_price);
        Some(Self {
            previous_unit_price: (chosen_at != today.unit_price).then_some(chosen_at),
            ..today.clone()
        })
    }
}

/// What the catalog says of a SKU today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    ForSale(Snapshot),
    NotForSale,
    Unknown,
}

/// What a cart's lines come to today; no promise, for only the checkout decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Nothing of a SKU when the catalog did not answer.
    pub(crate) offers: HashMap<SkuId, Offer>,
    /// Units that can be bought; nothing of a SKU when the inventory did not answer.
    pub(crate) available: HashMap<SkuId, u64>,
    /// Lines of a guest's cart that did not fit, whole or in part.
    pub(crate) left_out: Vec<SkuId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: Quantity,
    pub(crate) snapshot: Snapshot,
}

impl Line {
    pub(crate) fn total(&self) -> Result<Money, MoneyError> {
        self.snapshot.unit_price.checked_mul(self.quantity.as_u32())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CartStatus {
    Active,
    /// Its checkout is under way; the cart waits to be emptied or given back.
    CheckedOut {
        order_id: OrderId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cart {
    pub(crate) id: CartId,
    pub(crate) lines: BTreeMap<SkuId, Line>,
    pub(crate) status: CartStatus,
    /// Grows with every change.
    pub(crate) version: u64,
}

impl Cart {
    pub(crate) fn empty(id: CartId) -> Self {
        Self {
            id,
            lines: BTreeMap::new(),
            status: CartStatus::Active,
            version: 0,
        }
    }

    /// `if_empty` says in which currency an empty cart costs nothing.
    pub(crate) fn subtotal(&self, if_empty: Currency) -> Result<Money, MoneyError> {
        let totals = self
            .lines
            .values()
            .map(Line::total)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Money::sum(totals)?.unwrap_or(Money::zero(if_empty)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text() {
        for id in [
            CartId::User(Uuid::from_u128(1)),
            CartId::Guest(Uuid::from_u128(2)),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in [
            "",
            "user",
            "user:",
            "user:x",
            "admin:00000000-0000-0000-0000-000000000001",
        ] {
            assert_eq!(bad.parse::<CartId>(), Err(InvalidCartId));
        }
    }

    #[test]
    fn the_subtotal_is_the_sum_of_the_lines() {
        let mut cart = Cart::empty(CartId::User(Uuid::nil()));
        assert_eq!(cart.subtotal(Currency::EUR), Ok(Money::zero(Currency::EUR)));
        for (sku, quantity, price) in [(1, 2, 250), (2, 1, 1_000)] {
            let sku_id = SkuId(Uuid::from_u128(sku));
            let snapshot = Snapshot {
                product_id: ProductId(Uuid::nil()),
                sku: "S".into(),
                title: "T".into(),
                unit_price: Money::new(price, Currency::USD),
                previous_unit_price: None,
            };
            let quantity = Quantity::new(quantity).unwrap();
            cart.lines.insert(
                sku_id,
                Line {
                    sku_id,
                    quantity,
                    snapshot,
                },
            );
        }
        assert_eq!(cart.subtotal(Currency::EUR), Ok(Money::new(1_500, Currency::USD)));
    }

    #[test]
    fn a_changed_price_is_told_until_it_is_what_it_was() {
        let at = |price| Snapshot {
            product_id: ProductId(Uuid::nil()),
            sku: "S".into(),
            title: "T".into(),
            unit_price: Money::new(price, Currency::USD),
            previous_unit_price: None,
        };
        assert_eq!(at(100).repriced(&at(100)), None);
        let dearer = at(100).repriced(&at(120)).unwrap();
        assert_eq!(dearer.unit_price, Money::new(120, Currency::USD));
        assert_eq!(dearer.previous_unit_price, Some(Money::new(100, Currency::USD)));
        let dearest = dearer.repriced(&at(150)).unwrap();
        assert_eq!(dearest.previous_unit_price, Some(Money::new(100, Currency::USD)));
        assert_eq!(dearest.repriced(&at(100)), Some(at(100)));
    }
}
