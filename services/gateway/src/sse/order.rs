use std::time::Duration;

use ferrocart_contracts::v1::{
    OrderCancelled, OrderConfirmed, OrderDelivered, OrderPartiallyRefunded, OrderPaymentPending, OrderPlaced,
    OrderRefunded, OrderShipped,
};
use ferrocart_contracts::{Envelope, Event, Topic};
use ferrocart_types::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::feed::Change;

/// One step in an order's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OrderChange {
    pub(crate) order_id: Uuid,
    pub(crate) status: String,
    pub(crate) sequence: i64,
    pub(crate) at: Timestamp,
}

impl Change for OrderChange {
    const NAME: &'static str = "order";
    const TOPIC: Topic = Topic::Order;
    const IS_STATE: bool = false;
    const PACE: Duration = Duration::ZERO;
    const LINGER: Option<Duration> = None;

    fn of(envelope: &Envelope, key: Uuid) -> Option<Self> {
        Some(Self {
            order_id: key,
            status: status_of(&envelope.event_type)?.to_owned(),
            sequence: envelope.sequence,
            at: envelope.time,
        })
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    fn is_last(&self) -> bool {
        is_final(&self.status)
    }
}

pub(crate) fn is_final(status: &str) -> bool {
    matches!(status, "DELIVERED" | "CANCELLED" | "REFUNDED")
}

/// Every event names the state that its order came into.
fn status_of(event_type: &str) -> Option<&'static str> {
    [
        (OrderPlaced::TYPE, "PLACED"),
        (OrderPaymentPending::TYPE, "PAYMENT_PENDING"),
        (OrderConfirmed::TYPE, "CONFIRMED"),
        (OrderShipped::TYPE, "SHIPPED"),
        (OrderDelivered::TYPE, "DELIVERED"),
        // A part of the money leaves it as it was.
        (OrderPartiallyRefunded::TYPE, "DELIVERED"),
        (OrderRefunded::TYPE, "REFUNDED"),
        (OrderCancelled::TYPE, "CANCELLED"),
    ]
    .into_iter()
    .find_map(|(known, status)| (known == event_type).then_some(status))
}
