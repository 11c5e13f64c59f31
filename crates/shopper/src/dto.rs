//! What the documented answers look like, as far as this client looks at them.
#![expect(
    clippy::struct_field_names,
    reason = "the names are those of the documented API"
)]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
}

impl Money {
    pub(crate) fn times(&self, quantity: u32) -> Self {
        Self {
            amount_minor: self.amount_minor * i64::from(quantity),
            currency: self.currency.clone(),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            amount_minor,
            currency,
        } = self;
        write!(
            f,
            "{}.{:02} {currency}",
            amount_minor / 100,
            amount_minor.unsigned_abs() % 100
        )
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) detail: String,
    // Read only to see that they are there.
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "title")]
    _title: String,
    #[serde(rename = "retryable")]
    _retryable: bool,
    pub(crate) trace_id: String,
    #[serde(default)]
    pub(crate) errors: Vec<FieldError>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) reason: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) user_id: Uuid,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) token_type: String,
    pub(crate) expires_in: u64,
    pub(crate) refresh_token: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SearchAnswer {
    pub(crate) items: Vec<SearchItem>,
    #[serde(default)]
    pub(crate) facets: BTreeMap<String, Vec<FacetValue>>,
    pub(crate) total: u64,
    pub(crate) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SearchItem {
    pub(crate) product_id: Uuid,
    pub(crate) title: String,
    pub(crate) category: String,
    pub(crate) price_min: Money,
    pub(crate) in_stock: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FacetValue {
    pub(crate) value: String,
    pub(crate) count: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Product {
    pub(crate) product_id: Uuid,
    pub(crate) handle: String,
    pub(crate) title: String,
    pub(crate) category: String,
    pub(crate) variants: Vec<Variant>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Variant {
    pub(crate) sku_id: Uuid,
    pub(crate) sku: String,
    pub(crate) price: Money,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Stock {
    pub(crate) sku_id: Uuid,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) available: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cart {
    pub(crate) cart_id: String,
    pub(crate) items: Vec<Line>,
    pub(crate) subtotal: Money,
    pub(crate) status: CartStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CartStatus {
    Active,
    CheckedOut,
}

/// A line of a cart or of an order.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku_id: Uuid,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum OrderStatus {
    Placed,
    PaymentPending,
    Confirmed,
    Shipped,
    Delivered,
    Refunded,
    Cancelled,
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placed => "PLACED",
            Self::PaymentPending => "PAYMENT_PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Shipped => "SHIPPED",
            Self::Delivered => "DELIVERED",
            Self::Refunded => "REFUNDED",
            Self::Cancelled => "CANCELLED",
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_id: Uuid,
    pub(crate) status: OrderStatus,
    #[serde(default)]
    pub(crate) email: Option<String>,
    pub(crate) items: Vec<Line>,
    pub(crate) total: Money,
    pub(crate) payment: Option<OrderPayment>,
    pub(crate) history: Vec<HistoryEntry>,
    #[serde(default)]
    pub(crate) cancel_reason: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Hold {
    pub(crate) hold_id: Uuid,
    pub(crate) quantity: i64,
    pub(crate) status: String,
}

/// No `Debug`: it is a secret.
#[derive(Deserialize)]
pub(crate) struct AtProvider {
    pub(crate) client_secret: String,
    pub(crate) publishable_key: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OrderPayment {
    pub(crate) payment_id: Uuid,
    pub(crate) status: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HistoryEntry {
    pub(crate) status: OrderStatus,
}

/// What a checkout that is not finished yet says: the order, without its details.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderRef {
    pub(crate) order_id: Uuid,
    pub(crate) status: OrderStatus,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OrderEvent {
    pub(crate) order_id: Uuid,
    pub(crate) status: OrderStatus,
    pub(crate) sequence: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Payment {
    pub(crate) payment_id: Uuid,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) captured: Value,
}

impl Payment {
    /// The captured amount, whether it is money or a bare count of minor units.
    pub(crate) fn captured_minor(&self) -> Option<i64> {
        self.captured
            .get("amount_minor")
            .unwrap_or(&self.captured)
            .as_i64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_like_money() {
        let money = |amount_minor| Money {
            amount_minor,
            currency: "USD".to_owned(),
        };
        assert_eq!(money(129_905).to_string(), "1299.05 USD");
        assert_eq!(money(7).times(3).to_string(), "0.21 USD");
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) endpoint_id: Uuid,
    pub(crate) description: String,
    pub(crate) status: String,
    /// Set while nobody answers.
    pub(crate) failing_since: Option<String>,
    /// Shown when it is made, and never again.
    pub(crate) secret: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) message_id: Uuid,
    pub(crate) status: String,
}

/// The body of a webhook.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) data: Value,
}
