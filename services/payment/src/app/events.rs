use ferrocart_contracts::{timestamp_to_proto, v1};
use ferrocart_pg_kit::outbox::{OutboxEvent, Publisher};
use ferrocart_types::Money;

use crate::domain::{Change, Payment, Status, Step};

/// The event that tells of the change.
pub(super) fn event(publisher: &Publisher, change: &Change) -> OutboxEvent {
    let payment = Some(snapshot(&change.payment));
    match &change.step {
        Step::RequiresAction { redirect_url } => publisher.event(&v1::PaymentRequiresAction {
            payment,
            redirect_url: redirect_url.clone(),
        }),
        Step::Authorized { capture_before } => publisher.event(&v1::PaymentAuthorized {
            payment,
            capture_before: capture_before.map(timestamp_to_proto),
        }),
        // The status in the snapshot tells the two apart.
        Step::Declined { code } | Step::Failed { code } => publisher.event(&v1::PaymentDeclined {
            payment,
            decline_code: code.clone(),
        }),
        Step::Captured { .. } => publisher.event(&v1::PaymentCaptured { payment }),
        Step::Refunded { minor } => publisher.event(&v1::PaymentRefunded {
            payment,
            amount: Some(Money::new(*minor, change.payment.terms.amount.currency).into()),
        }),
        Step::Voided { reason, .. } => publisher.event(&v1::PaymentVoided {
            payment,
            reason: reason.clone(),
        }),
    }
}

fn snapshot(payment: &Payment) -> v1::Payment {
    let status = match payment.status() {
        Status::Pending => v1::PaymentStatus::Pending,
        Status::RequiresAction => v1::PaymentStatus::RequiresAction,
        Status::Authorized => v1::PaymentStatus::Authorized,
        Status::Declined => v1::PaymentStatus::Declined,
        Status::Captured => v1::PaymentStatus::Captured,
        Status::Voided => v1::PaymentStatus::Voided,
        Status::Refunded => v1::PaymentStatus::Refunded,
        Status::Failed => v1::PaymentStatus::Failed,
    };
    v1::Payment {
        payment_id: payment.id.to_string(),
        order_id: payment.terms.order_id.to_string(),
        customer_id: payment.terms.customer_id.to_string(),
        status: status.into(),
        amount: Some(payment.terms.amount.into()),
        captured_minor: payment.state.captured_minor(),
        refunded_minor: payment.state.refunded_minor(),
        sequence: payment.sequence,
        updated_at: Some(timestamp_to_proto(payment.updated_at)),
    }
}
