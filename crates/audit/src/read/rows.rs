//! What is kept of a row, an event or an intent: as much as is judged.

use ferrocart_contracts::v1::{OrderStatus, PaymentStatus};
use ferrocart_types::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct OrderRow {
    pub(crate) status: OrderStatus,
    pub(crate) total_minor: i64,
    pub(crate) sequence: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// What order_history says, by its sequence.
    pub(crate) history: Vec<(i64, OrderStatus)>,
    /// What is under way for it, such as `CHECKOUT at AUTHORIZE, RUNNING`, and since when.
    pub(crate) saga: Option<(String, Timestamp)>,
    /// It was placed to be paid later, and waits for that.
    pub(crate) pays_later: bool,
    /// What went back in all, as the order shows it.
    pub(crate) refunded_minor: i64,
    /// What the refunds come to that were asked of the order.
    pub(crate) given_minor: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct PaymentRow {
    pub(crate) payment_id: Uuid,
    pub(crate) status: PaymentStatus,
    pub(crate) provider_intent: Option<String>,
    pub(crate) authorized_minor: i64,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
    pub(crate) void_requested_at: Option<Timestamp>,
    pub(crate) sequence: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The operation in flight, such as `CAPTURE UNKNOWN`, and since when.
    pub(crate) operation: Option<(String, Timestamp)>,
    pub(crate) books: Books,
}

/// What the payment's entries in the double-entry ledger come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    pub(crate) authorizations: i64,
    pub(crate) captures: i64,
    /// Balances in minor units.
    pub(crate) held_minor: i64,
    pub(crate) receivable_minor: i64,
    /// Transactions that do not sum to zero.
    pub(crate) unbalanced: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Reserved,
    Confirmed,
    Deducted,
    Released,
}

impl Hold {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "RESERVED" => Self::Reserved,
            "CONFIRMED" => Self::Confirmed,
            "DEDUCTED" => Self::Deducted,
            "RELEASED" => Self::Released,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ReservationRow {
    pub(crate) status: Hold,
    pub(crate) expires_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IntentState {
    /// The money is held.
    RequiresCapture,
    /// The money was taken; it may have gone back.
    Succeeded,
    Canceled,
    /// Nothing was held yet.
    Other,
}

/// A payment intent at the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) state: IntentState,
    pub(crate) capturable_minor: i64,
    pub(crate) received_minor: i64,
    pub(crate) refunded_minor: i64,
    pub(crate) created: Timestamp,
}

impl Intent {
    pub(crate) fn holds_or_took_money(&self) -> bool {
        matches!(self.state, IntentState::RequiresCapture | IntentState::Succeeded)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) version: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct SkuRow {
    pub(crate) stock: Option<(Counters, Timestamp)>,
    /// What the ledger's deltas sum up to.
    pub(crate) ledger: Option<Counters>,
    /// Units of the reservations that are RESERVED or CONFIRMED.
    pub(crate) standing: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct ProductRow {
    pub(crate) version: i64,
    pub(crate) archived: bool,
    pub(crate) updated_at: Timestamp,
}

/// An event of an order or a payment, whose sequences have no gaps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) partition: i32,
    pub(crate) sequence: i64,
    /// The number of the status in the contract.
    pub(crate) status: i32,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
}

/// An event of a SKU or a product, whose versions grow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) version: i64,
    /// On hand and reserved, of a StockUpdated.
    pub(crate) counters: Option<(i64, i64)>,
    pub(crate) deleted: bool,
}
