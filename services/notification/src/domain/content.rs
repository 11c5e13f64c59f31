use ferrocart_types::{EndpointId, Money, OrderId};
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
    #[serde(rename = "webhook_disabled")]
    WebhookDisabled { endpoint_id: EndpointId, url: String },
}

impl Occasion {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Confirmed => Kind::Confirmed,
            Self::Shipped { .. } => Kind::Shipped,
            Self::Delivered => Kind::Delivered,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Refunded { .. } => Kind::Refunded,
            Self::WebhookDisabled { .. } => Kind::WebhookDisabled,
        }
    }

    /// Holds nothing that came from outside but the id of what it is about.
    pub(crate) fn subject(&self, locale: Locale, order: Option<OrderId>) -> String {
        let partly = matches!(self, Self::Refunded { partly: true, .. });
        let what = match locale {
            Locale::En => self.kind().in_english(partly),
            Locale::De => self.kind().in_german(partly),
        };
        let (start, about) = match (self, locale) {
            (Self::WebhookDisabled { endpoint_id, .. }, Locale::En) => {
                ("Your endpoint", endpoint_id.to_string())
            }
            (Self::WebhookDisabled { endpoint_id, .. }, Locale::De) => {
                ("Dein Endpunkt", endpoint_id.to_string())
            }
            (_, Locale::En) => (
                "Your Ferrocart order",
                order.map_or_else(String::new, |id| id.to_string()),
            ),
            (_, Locale::De) => (
                "Deine Bestellung bei Ferrocart",
                order.map_or_else(String::new, |id| id.to_string()),
            ),
        };
        format!("{start} {what} ({about})")
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
    #[serde(default)]
    pub(crate) lines: Vec<Line>,
    /// `None` when it is about no order.
    #[serde(default)]
    pub(crate) total: Option<Money>,
}
