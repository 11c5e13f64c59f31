//! Giving money back, whole or in part.

use std::collections::BTreeMap;

use ferrocart_types::{Money, MoneyError, Quantity, SagaId, SkuId, Timestamp};

use super::Order;

/// Units of an order that are paid back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RefundedItem {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: Quantity,
}

/// What is asked for. Without an amount and items all that is left goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RefundRequest {
    pub(crate) amount: Option<Money>,
    pub(crate) items: Vec<RefundedItem>,
}

/// What is to be given back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RefundTerms {
    pub(crate) amount: Money,
    /// All that is left: payment knows best what that is.
    pub(crate) whole: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) items: Vec<RefundedItem>,
    /// Who asked for it.
    pub(crate) by: String,
}

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refund {
    /// The saga that gave it back.
    pub(crate) id: SagaId,
    pub(crate) amount: Money,
    pub(crate) items: Vec<RefundedItem>,
    pub(crate) reason: Option<String>,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefundError {
    #[error("the order was paid in another currency")]
    OtherCurrency,
    #[error("is not in this order")]
    UnknownItem(usize),
    #[error("{left} of these units can be refunded")]
    TooManyUnits { index: usize, left: u32 },
    #[error("the items cost {0}")]
    MoreThanItems(Money),
    #[error("{left} can be refunded")]
    TooMuch { left: Money },
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl RefundRequest {
    pub(crate) fn is_whole(&self) -> bool {
        self.amount.is_none() && self.items.is_empty()
    }

    /// What it comes to for this order.
    pub(crate) fn terms(&self, order: &Order, by: String) -> Result<RefundTerms, RefundError> {
        let left = order.refundable()?;
        let amount = if self.is_whole() {
            left
        } else {
            let items = self.cost(order)?;
            match (self.amount, items) {
                (Some(amount), _) if amount.currency != order.total.currency => {
                    return Err(RefundError::OtherCurrency);
                }
                (Some(amount), Some(cost)) if amount.amount_minor > cost.amount_minor => {
                    return Err(RefundError::MoreThanItems(cost));
                }
                (amount, cost) => amount.or(cost).unwrap_or(left),
            }
        };
        if amount.amount_minor > left.amount_minor || (amount.amount_minor == 0 && !self.is_whole()) {
            return Err(RefundError::TooMuch { left });
        }
        Ok(RefundTerms {
            amount,
            whole: self.is_whole(),
            items: self.items.clone(),
            by,
        })
    }

    /// What the items cost, if any are named; each of them can be refunded once.
    fn cost(&self, order: &Order) -> Result<Option<Money>, RefundError> {
        let mut left: BTreeMap<SkuId, (u32, Money)> = BTreeMap::new();
        for line in &order.lines {
            left.entry(line.sku_id).or_insert((0, line.unit_price)).0 += line.quantity.as_u32();
        }
        for item in order.refunds.iter().flat_map(|refund| &refund.items) {
            if let Some((units, _)) = left.get_mut(&item.sku_id) {
                *units = units.saturating_sub(item.quantity.as_u32());
            }
        }
        let mut costs = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate() {
            let (units, price) = left
                .get_mut(&item.sku_id)
                .ok_or(RefundError::UnknownItem(index))?;
            let asked = item.quantity.as_u32();
            if asked > *units {
                return Err(RefundError::TooManyUnits { index, left: *units });
            }
            *units -= asked;
            costs.push(price.checked_mul(asked)?);
        }
        Ok(Money::sum(costs)?)
    }
}
