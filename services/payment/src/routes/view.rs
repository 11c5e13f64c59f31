use chrono::{DateTime, Utc};
use ferrocart_types::{Money, OrderId, PaymentId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Payment, State, Status};

/// A payment as clients and services see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentView {
    payment_id: PaymentId,
    order_id: OrderId,
    status: Status,
    /// What the order costs.
    amount: Money,
    /// What is or was held; 0 until then.
    authorized: Money,
    /// What was taken.
    captured: Money,
    /// What of it went back.
    refunded: Money,
    /// Why the issuer said no.
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    /// What the customer must do, when the status is REQUIRES_ACTION.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    /// Until when what is held can be captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    capture_before: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NextAction {
    /// The bank's page.
    redirect_url: String,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        let currency = payment.terms.amount.currency;
        let (mut decline_code, mut next_action, mut until) = (None, None, None);
        match &payment.state {
            State::Declined { code } => decline_code = Some(code.clone()),
            State::RequiresAction { redirect_url } => {
                next_action = Some(NextAction {
                    redirect_url: redirect_url.clone(),
                });
            }
            State::Authorized { capture_before } => until = *capture_before,
            _ => {}
        }
        Self {
            payment_id: payment.id,
            order_id: payment.terms.order_id,
            status: payment.status(),
            amount: payment.terms.amount,
            authorized: Money::new(payment.authorized_minor(), currency),
            captured: Money::new(payment.state.captured_minor(), currency),
            refunded: Money::new(payment.state.refunded_minor(), currency),
            decline_code,
            next_action,
            capture_before: until,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

/// A void of an order that has no payment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VoidedOrder {
    pub(crate) order_id: OrderId,
    pub(crate) status: Status,
}
