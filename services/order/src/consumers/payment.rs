use ferrocart_contracts::v1::{
    Payment, PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentRequiresAction,
    PaymentStatus as Wire, PaymentVoided,
};
use ferrocart_contracts::{Envelope, Event};

use super::News;
use crate::domain::{PaymentFact, PaymentStatus};

/// Every payment event carries the payment as it stands after it.
pub(super) fn news(envelope: &Envelope) -> anyhow::Result<Option<News>> {
    let payment = match envelope.event_type.as_str() {
        PaymentRequiresAction::TYPE => envelope.decode::<PaymentRequiresAction>()?.payment,
        PaymentAuthorized::TYPE => envelope.decode::<PaymentAuthorized>()?.payment,
        PaymentDeclined::TYPE => envelope.decode::<PaymentDeclined>()?.payment,
        PaymentCaptured::TYPE => envelope.decode::<PaymentCaptured>()?.payment,
        PaymentVoided::TYPE => envelope.decode::<PaymentVoided>()?.payment,
        PaymentRefunded::TYPE => envelope.decode::<PaymentRefunded>()?.payment,
        _ => return Ok(None),
    };
    match payment {
        // The void of an order that never had a payment.
        Some(payment) if payment.payment_id.is_empty() => Ok(None),
        Some(payment) => read(&payment).map(Some),
        None => anyhow::bail!("{} without its payment", envelope.event_type),
    }
}

fn read(payment: &Payment) -> anyhow::Result<News> {
    let status = match payment.status() {
        Wire::Pending => PaymentStatus::Pending,
        Wire::RequiresAction => PaymentStatus::RequiresAction,
        Wire::Authorized => PaymentStatus::Authorized,
        Wire::Declined => PaymentStatus::Declined,
        Wire::Captured => PaymentStatus::Captured,
        Wire::Voided => PaymentStatus::Voided,
        Wire::Refunded => PaymentStatus::Refunded,
        Wire::Failed => PaymentStatus::Failed,
        Wire::Unspecified => anyhow::bail!("a payment without a status"),
    };
    let fact = PaymentFact {
        payment_id: payment.payment_id.parse()?,
        status,
        refunded_minor: payment.refunded_minor,
    };
    Ok(News::Payment(payment.order_id.parse()?, fact))
}
