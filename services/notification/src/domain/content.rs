use ferrocart_types::{Money, OrderId};
use serde::{Deserialize, Serialize};

use super::{Kind, Locale};

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
    pub(crate) fn subject(&self, locale: Locale, order: OrderId) -> String {
        let partly = matches!(self, Self::Refunded { partly: true, .. });
        let (start, what) = match locale {
            Locale::En => ("Your Ferrocart order", self.kind().in_english(partly)),
            Locale::De => ("Deine Bestellung bei Ferrocart", self.kind().in_german(partly)),
        };
        format!("{start} {what} ({order})")
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
