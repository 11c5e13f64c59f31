//! Orders and sagas as the API shows them.

use ferrocart_types::{
    Email, Money, MoneyError, OrderId, PaymentId, ProductId, Quantity, SagaId, SkuId, Timestamp, UserId,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::saga::Kind;
use crate::domain::{CancelReason, Order, PaymentStatus, Refund, ShippingAddress, Status, Step};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    order_id: OrderId,
    status: Status,
    /// The user, or the guest session that checked out.
    customer_id: UserId,
    email: Email,
    items: Vec<LineView>,
    total: Money,
    payment: Option<PaymentInfo>,
    /// What went back to the customer in all.
    refunded: Money,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<RefundView>,
    shipping_address: ShippingAddress,
    /// Oldest first.
    history: Vec<HistoryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipment: Option<ShipmentView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<CancelReason>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    version: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineView {
    sku_id: SkuId,
    product_id: ProductId,
    sku: String,
    title: String,
    quantity: Quantity,
    unit_price: Money,
    line_total: Money,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderPayment)]
struct PaymentInfo {
    payment_id: PaymentId,
    status: PaymentStatus,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderHistoryEntry)]
struct HistoryView {
    status: Status,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The money that went back: all that was left, or a part, which leaves the status as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderRefund)]
struct RefundView {
    refund_id: SagaId,
    amount: Money,
    /// The units that it is for, if any were named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<RefundedItemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderRefundedItem)]
struct RefundedItemView {
    sku_id: SkuId,
    quantity: Quantity,
}

impl RefundView {
    fn of(refund: &Refund) -> Self {
        let items = refund.items.iter().map(|item| RefundedItemView {
            sku_id: item.sku_id,
            quantity: item.quantity,
        });
        Self {
            refund_id: refund.id,
            amount: refund.amount,
            items: items.collect(),
            reason: refund.reason.clone(),
            at: refund.at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderShipment)]
struct ShipmentView {
    carrier: Option<String>,
    tracking_number: Option<String>,
}

impl OrderView {
    pub(crate) fn of(order: &Order) -> Result<Self, MoneyError> {
        let items = order
            .lines
            .iter()
            .map(|line| {
                Ok(LineView {
                    sku_id: line.sku_id,
                    product_id: line.product_id,
                    sku: line.sku.clone(),
                    title: line.title.clone(),
                    quantity: line.quantity,
                    unit_price: line.unit_price,
                    line_total: line.total()?,
                })
            })
            .collect::<Result<_, MoneyError>>()?;
        let history = order
            .history
            .iter()
            .map(|entry| HistoryView {
                status: entry.status,
                at: entry.at,
                reason: entry.reason.clone(),
                refunded: entry.refunded,
            })
            .collect();
        Ok(Self {
            order_id: order.id,
            status: order.status(),
            customer_id: order.customer_id,
            email: order.email.clone(),
            items,
            total: order.total,
            payment: order.payment.map(|payment| PaymentInfo {
                payment_id: payment.payment_id,
                status: payment.status,
            }),
            refunded: order.refunded(),
            refunds: order.refunds.iter().map(RefundView::of).collect(),
            shipping_address: order.address.clone(),
            history,
            shipment: order.shipment().map(|shipment| ShipmentView {
                carrier: shipment.carrier.clone(),
                tracking_number: shipment.tracking_number.clone(),
            }),
            cancel_reason: order.cancel_reason(),
            created_at: order.created_at,
            updated_at: order.updated_at,
            version: order.version,
        })
    }
}

/// What is under way for an order, for support.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Saga)]
pub(crate) struct SagaView {
    pub(crate) saga_id: SagaId,
    pub(crate) order_id: OrderId,
    pub(crate) kind: Kind,
    pub(crate) step: Step,
    /// RUNNING, COMPENSATING, STUCK or DONE
    pub(crate) state: String,
    pub(crate) reason: Option<CancelReason>,
    /// Tries of the current step.
    pub(crate) attempts: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) next_attempt_at: Timestamp,
    pub(crate) last_error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}
