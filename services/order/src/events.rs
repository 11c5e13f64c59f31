//! An order's status as an event of `order-events`.

use ferrocart_contracts::timestamp_to_proto;
use ferrocart_contracts::v1::{self, OrderStatus};
use ferrocart_pg_kit::outbox::{OutboxEvent, Publisher};
use ferrocart_types::Money;

use crate::domain::{Order, State, Status};

/// The event that tells of the status the order has just come to.
pub(crate) fn status_event(publisher: &Publisher, order: &Order) -> OutboxEvent {
    let message = Some(message(order));
    let payment_id = order
        .payment
        .map(|payment| payment.payment_id.to_string())
        .unwrap_or_default();
    match &order.state {
        State::Placed => publisher.event(&v1::OrderPlaced { order: message }),
        State::PaymentPending { reservation_id } => publisher.event(&v1::OrderPaymentPending {
            order: message,
            reservation_id: reservation_id.to_string(),
        }),
        State::Confirmed { reservation_id } => publisher.event(&v1::OrderConfirmed {
            order: message,
            payment_id,
            reservation_id: reservation_id.to_string(),
        }),
        State::Shipped { shipment, .. } => publisher.event(&v1::OrderShipped {
            order: message,
            carrier: shipment.carrier.clone().unwrap_or_default(),
            tracking_number: shipment.tracking_number.clone().unwrap_or_default(),
        }),
        State::Delivered { .. } => match newest_refund(order) {
            (Some(amount), reason, refunded) => publisher.event(&v1::OrderPartiallyRefunded {
                order: message,
                amount: Some(amount.into()),
                reason,
                refunded: Some(refunded.into()),
            }),
            (None, ..) => publisher.event(&v1::OrderDelivered { order: message }),
        },
        State::Refunded { .. } => {
            let (amount, reason, refunded) = newest_refund(order);
            publisher.event(&v1::OrderRefunded {
                order: message,
                amount: Some(amount.unwrap_or(order.total).into()),
                reason,
                refunded: Some(refunded.into()),
            })
        }
        State::Cancelled { reason, .. } => publisher.event(&v1::OrderCancelled {
            order: message,
            reason: reason.to_string(),
        }),
    }
}

/// What went back with the event, why, and what went back in all.
fn newest_refund(order: &Order) -> (Option<Money>, String, Money) {
    let entry = order.history.last();
    let reason = entry.and_then(|entry| entry.reason.clone()).unwrap_or_default();
    (entry.and_then(|entry| entry.refunded), reason, order.refunded())
}

fn message(order: &Order) -> v1::Order {
    v1::Order {
        order_id: order.id.to_string(),
        customer_id: order.customer_id.to_string(),
        guest: order.guest,
        email: order.email.as_str().to_owned(),
        cart_id: order.cart_id.map(|cart| cart.to_string()).unwrap_or_default(),
        status: status(order.status()).into(),
        lines: order
            .lines
            .iter()
            .map(|line| v1::OrderLine {
                sku_id: line.sku_id.to_string(),
                product_id: line.product_id.to_string(),
                sku: line.sku.clone(),
                title: line.title.clone(),
                quantity: line.quantity.as_u32(),
                unit_price: Some(line.unit_price.into()),
            })
            .collect(),
        total: Some(order.total.into()),
        sequence: order.sequence(),
        created_at: Some(timestamp_to_proto(order.created_at)),
        updated_at: Some(timestamp_to_proto(order.updated_at)),
    }
}

const fn status(status: Status) -> OrderStatus {
    match status {
        Status::Placed => OrderStatus::Placed,
        Status::PaymentPending => OrderStatus::PaymentPending,
        Status::Confirmed => OrderStatus::Confirmed,
        Status::Shipped => OrderStatus::Shipped,
        Status::Delivered => OrderStatus::Delivered,
        Status::Refunded => OrderStatus::Refunded,
        Status::Cancelled => OrderStatus::Cancelled,
    }
}
