//! The hash of a cart, to and from the domain.

use std::collections::BTreeMap;

use ferrocart_types::{Quantity, SkuId};
use serde::Deserialize;

use crate::domain::{Cart, CartId, CartStatus, Line, Snapshot};

/// A line as it stands in its field. The scripts write it, `quantity` first.
#[derive(Deserialize)]
struct StoredLine {
    quantity: Quantity,
    snapshot: Snapshot,
}

/// Stored data that is not what this service writes.
#[derive(Debug, thiserror::Error)]
#[error("cart {cart}, field {field}: {reason}")]
pub(crate) struct CorruptCart {
    pub(super) cart: CartId,
    pub(super) field: String,
    pub(super) reason: String,
}

pub(super) fn cart(id: CartId, fields: &[(String, String)]) -> Result<Cart, CorruptCart> {
    let corrupt = |field: &str, reason: String| CorruptCart {
        cart: id,
        field: field.to_owned(),
        reason,
    };
    let mut cart = Cart {
        lines: BTreeMap::new(),
        ..Cart::empty(id)
    };
    for (field, value) in fields {
        match field.as_str() {
            "_version" => {
                cart.version = value
                    .parse()
                    .map_err(|_| corrupt(field, "not a number".to_owned()))?;
            }
            "_order" => {
                let order_id = value
                    .parse()
                    .map_err(|_| corrupt(field, "not an order id".to_owned()))?;
                cart.status = CartStatus::CheckedOut { order_id };
            }
            name if name.starts_with('_') => {}
            name => {
                let sku_id: SkuId = name
                    .parse()
                    .map_err(|_| corrupt(field, "not a SKU id".to_owned()))?;
                let line: StoredLine =
                    serde_json::from_str(value).map_err(|error| corrupt(field, error.to_string()))?;
                cart.lines.insert(
                    sku_id,
                    Line {
                        sku_id,
                        quantity: line.quantity,
                        snapshot: line.snapshot,
                    },
                );
            }
        }
    }
    Ok(cart)
}
