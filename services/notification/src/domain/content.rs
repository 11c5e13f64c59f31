use ferrocart_types::{Money, OrderId};
use serde::{Deserialize, Serialize};

use super::Kind;

/// What happened to the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Occasion {
    #[serde(rename = "order_confirmed")]
    Confirmed,
    #[serde(rename = "order_shipped")]
    Shipped {
        carrier: Option<String>,
        tracking_number: Option<String>,
    },
    #[serde(rename = "order_delivered")]
    Delivered,
    #[serde(rename = "order_cancelled")]
    Cancelled {
        /// The order service's code, such as PAYMENT_DECLINED.
        reason: String,
    },
    #[serde(rename = "order_refunded")]
    Refunded {
        amount: Money,
        /// More can go back.
        #[serde(default)]
        partly: bool,
    },
}

impl Occasion {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Confirmed => Kind::Confirmed,
            Self::Shipped { .. } => Kind::Shipped,
            Self::Delivered => Kind::Delivered,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Refunded { .. } => Kind::Refunded,
        }
    }

    /// Holds nothing that came from outside but the order's id.
    pub(crate) fn subject(&self, order: OrderId) -> String {
        match self {
            Self::Refunded { partly: true, .. } => {
                format!("Your Ferrocart order was refunded in part ({order})")
            }
            _ => self.kind().subject(order),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) total: Money,
}

/// What an e-mail says; stored as JSON, so add fields with a default only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) occasion: Occasion,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
}

/// The reason of a cancellation for the customer. A code that is not known here is a new one of the
/// order service: the e-mail then says what is always true.
pub(crate) fn reason_in_words(code: &str) -> &'static str {
    match code {
        "CUSTOMER_REQUEST" => "You asked us to cancel it.",
        "SUPPORT_REQUEST" => "Our support team cancelled it.",
        "INSUFFICIENT_STOCK" | "RESERVATION_REFUSED" => {
            "Something in your order was sold out by the time you checked out."
        }
        "PAYMENT_DECLINED" => "Your payment was declined, so nothing was charged.",
        "PAYMENT_FAILED" => "Your payment did not go through, so nothing was charged.",
        "PAYMENT_TIMEOUT" => "The payment was not completed in time, so nothing was charged.",
        "RESERVATION_EXPIRED" => "The items were held for you, but the order was not completed in time.",
        "PICK_FAILED" => "Our warehouse found that an item is not in stock after all.",
        _ => "We could not complete it.",
    }
}
