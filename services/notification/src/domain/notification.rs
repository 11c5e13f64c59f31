use ferrocart_types::{EventId, NotificationId, OrderId, Timestamp, UserId};

use super::{Content, Recipient};

named! {
    /// What a notification tells of.
    Kind {
        Confirmed = "order_confirmed",
        Shipped = "order_shipped",
        Delivered = "order_delivered",
        Cancelled = "order_cancelled",
        Refunded = "order_refunded",
        /// To a merchant: an endpoint of their webhooks failed for too long.
        WebhookDisabled = "webhook_disabled",
    }
}

named! {
    /// How it reaches its reader.
    Channel {
        Email = "email",
        Sms = "sms",
    }
}

named! {
    Status {
        /// Not yet handed over; it is tried again until it is.
        Pending = "PENDING",
        /// Handed over to the mail server or the SMS provider.
        Sent = "SENT",
        /// Given up.
        Failed = "FAILED",
    }
}

named! {
    /// The languages that messages are written in.
    Locale {
        En = "en",
        De = "de",
    }
}

impl Channel {
    pub(crate) const ALL: [Self; 2] = [Self::Email, Self::Sms];
}

impl Locale {
    pub(crate) const ALL: [Self; 2] = [Self::En, Self::De];
}

impl Kind {
    /// Those that a buyer is sent.
    pub(crate) const OF_ORDERS: [Self; 5] = [
        Self::Confirmed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
    ];

    pub(super) const fn in_english(self, partly: bool) -> &'static str {
        match self {
            Self::Confirmed => "is confirmed",
            Self::Shipped => "has shipped and is on its way",
            Self::Delivered => "was delivered",
            Self::Cancelled => "was cancelled",
            Self::Refunded if partly => "was refunded in part",
            Self::Refunded => "was refunded",
            Self::WebhookDisabled => "no longer gets webhooks",
        }
    }

    pub(super) const fn in_german(self, partly: bool) -> &'static str {
        match self {
            Self::Confirmed => "ist bestätigt",
            Self::Shipped => "ist unterwegs",
            Self::Delivered => "ist angekommen",
            Self::Cancelled => "wurde storniert",
            Self::Refunded if partly => "wurde teilweise erstattet",
            Self::Refunded => "wurde erstattet",
            Self::WebhookDisabled => "erhält keine Webhooks mehr",
        }
    }
}

/// A notification as an event asks for it.
#[derive(Debug, Clone)]
pub(crate) struct NewNotification {
    pub(crate) notification_id: NotificationId,
    pub(crate) event_id: EventId,
    /// `None` when it is about something else.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) order_sequence: i64,
    pub(crate) customer_id: UserId,
    pub(crate) recipient: Recipient,
    pub(crate) locale: Locale,
    pub(crate) content: Content,
    /// The trace of the purchase, in which it is sent.
    pub(crate) traceparent: Option<String>,
    pub(crate) created_at: Timestamp,
}

/// What its owner sees of a notification.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) notification_id: NotificationId,
    pub(crate) order_id: OrderId,
    pub(crate) kind: Kind,
    pub(crate) channel: Channel,
    pub(crate) status: Status,
    pub(crate) locale: Locale,
    pub(crate) subject: String,
    pub(crate) created_at: Timestamp,
    pub(crate) sent_at: Option<Timestamp>,
}
