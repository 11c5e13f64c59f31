use std::fmt;

use crate::v1;

/// The topics of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    Order,
    Inventory,
    Payment,
    Catalog,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Order, Self::Inventory, Self::Payment, Self::Catalog];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order-events",
            Self::Inventory => "inventory-events",
            Self::Payment => "payment-events",
            Self::Catalog => "catalog-events",
        }
    }

    /// The topic's settings at the broker.
    pub const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Order | Self::Payment => &[("retention.ms", "604800000")],
            Self::Inventory => &[("retention.ms", "259200000")],
            Self::Catalog => &[("cleanup.policy", "compact")],
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A message that is published as an event of its own.
pub trait Event: prost::Message + Default {
    /// The `ce_type`.
    const TYPE: &'static str;
    const TOPIC: Topic;

    /// The record's key and the event's subject: the aggregate's id.
    fn key(&self) -> &str;

    /// Grows by one (orders, payments) or at least grows (SKUs, products) from event to event of one
    /// aggregate.
    fn sequence(&self) -> i64;
}

/// What is to be known of an event's type without a message of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    pub topic: Topic,
    /// The `ce_type`.
    pub name: &'static str,
    /// The message within the package [`PACKAGE`].
    pub message: &'static str,
    /// The fields that lead to the record's key.
    pub key: &'static [&'static str],
    /// The fields that lead to the sequence.
    pub sequence: &'static [&'static str],
}

/// The package of all messages.
pub const PACKAGE: &str = "ferrocart.events.v1";

macro_rules! events {
    ($($topic:ident $type:literal $message:ident { $key:ident, $sequence:ident $(of $part:ident)? })+) => {
        /// All types of events that are published.
        pub const EVENT_TYPES: &[EventType] = &[$(
            EventType {
                topic: Topic::$topic,
                name: $type,
                message: stringify!($message),
                key: &[$(stringify!($part),)? stringify!($key)],
                sequence: &[$(stringify!($part),)? stringify!($sequence)],
            },
        )+];
    $(
        impl Event for v1::$message {
            const TYPE: &'static str = $type;
            const TOPIC: Topic = Topic::$topic;

            fn key(&self) -> &str {
                events!(@key self, $key $(, $part)?)
            }

            fn sequence(&self) -> i64 {
                events!(@sequence self, $sequence $(, $part)?)
            }
        }
    )+};
    (@key $self:ident, $key:ident) => { &$self.$key };
    (@key $self:ident, $key:ident, $part:ident) => { $self.$part.as_ref().map_or("", |part| part.$key.as_str()) };
    (@sequence $self:ident, $sequence:ident) => { $self.$sequence };
    (@sequence $self:ident, $sequence:ident, $part:ident) => { $self.$part.as_ref().map_or(0, |part| part.$sequence) };
}

events! {
    Order "ferrocart.order.v1.OrderPlaced" OrderPlaced { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderPaymentPending" OrderPaymentPending { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderConfirmed" OrderConfirmed { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderCancelled" OrderCancelled { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderShipped" OrderShipped { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderDelivered" OrderDelivered { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderPartiallyRefunded" OrderPartiallyRefunded { order_id, sequence of order }
    Order "ferrocart.order.v1.OrderRefunded" OrderRefunded { order_id, sequence of order }
    Inventory "ferrocart.inventory.v1.StockUpdated" StockUpdated { sku_id, version }
    Inventory "ferrocart.inventory.v1.StockLow" StockLow { sku_id, version }
    Inventory "ferrocart.inventory.v1.StockReserved" StockReserved { sku_id, version of line }
    Inventory "ferrocart.inventory.v1.ReservationConfirmed" ReservationConfirmed { sku_id, version of line }
    Inventory "ferrocart.inventory.v1.ReservationReleased" ReservationReleased { sku_id, version of line }
    Inventory "ferrocart.inventory.v1.ReservationExpired" ReservationExpired { sku_id, version of line }
    Inventory "ferrocart.inventory.v1.ReservationDeducted" ReservationDeducted { sku_id, version of line }
    Payment "ferrocart.payment.v1.PaymentRequiresAction" PaymentRequiresAction { order_id, sequence of payment }
    Payment "ferrocart.payment.v1.PaymentAuthorized" PaymentAuthorized { order_id, sequence of payment }
    Payment "ferrocart.payment.v1.PaymentDeclined" PaymentDeclined { order_id, sequence of payment }
    Payment "ferrocart.payment.v1.PaymentCaptured" PaymentCaptured { order_id, sequence of payment }
    Payment "ferrocart.payment.v1.PaymentVoided" PaymentVoided { order_id, sequence of payment }
    Payment "ferrocart.payment.v1.PaymentRefunded" PaymentRefunded { order_id, sequence of payment }
    Catalog "ferrocart.catalog.v1.ProductUpserted" ProductUpserted { product_id, version of product }
    Catalog "ferrocart.catalog.v1.ProductDeleted" ProductDeleted { product_id, version }
}
