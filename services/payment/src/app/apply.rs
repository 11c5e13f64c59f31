use ferrocart_pg_kit::outbox;
use ferrocart_types::PaymentId;
use sqlx::PgConnection;

use super::{Payments, events};
use crate::domain::{Change, Divergence, OperationKind, Payment, Seen, Status};
use crate::error::PaymentError;
use crate::provider::Intent;
use crate::store::{ledger, operations, payments};

impl Payments {
    /// Brings the payment to what the provider says: its row, the books and its events together.
    pub(super) async fn apply(
        &self,
        conn: &mut PgConnection,
        id: PaymentId,
        intent: Option<&Intent>,
        seen: &Seen,
    ) -> Result<Payment, PaymentError> {
        let before = payments::lock(conn, payments::By::Id(id))
            .await?
            .ok_or(PaymentError::NotFound)?;
        let changes = self
            .changes(&before, intent, seen)
            .inspect_err(|_| count_divergence())?;
        let Some(last) = changes.last() else {
            return match intent {
                Some(intent) if before.intent.is_none() => {
                    payments::note_intent(conn, id, &intent.id).await?;
                    let intent = Some(intent.id.clone());
                    Ok(Payment { intent, ..before })
                }
                _ => Ok(before),
            };
        };
        let after = last.payment.clone();
        payments::update(conn, &before, &after).await?;
        ledger::post(conn, &changes).await?;
        let published: Vec<_> = changes
            .iter()
            .map(|change| events::event(&self.publisher, change))
            .collect();
        outbox::append(conn, &published).await?;
        metrics::counter!("payments_total", "status" => after.status().as_str()).increment(1);
        Ok(after)
    }

    /// What has happened to the payment, seeing how the provider holds it.
    pub(super) fn changes(
        &self,
        before: &Payment,
        intent: Option<&Intent>,
        seen: &Seen,
    ) -> Result<Vec<Change>, Divergence> {
        if let Some(intent) = intent {
            is_ours(before, intent)?;
        }
        before.catch_up(intent.map(|intent| &intent.id), seen, self.clock.now())
    }

    /// Like [`Payments::apply`] for news that did not come as an operation's answer: an operation whose
    /// goal is thereby reached is over.
    pub(super) async fn apply_news(
        &self,
        conn: &mut PgConnection,
        id: PaymentId,
        intent: &Intent,
    ) -> Result<Payment, PaymentError> {
        let payment = self.apply(conn, id, Some(intent), &intent.seen).await?;
        let now = self.clock.now();
        if payment.status() != Status::Pending {
            operations::finish_reached(conn, id, OperationKind::Authorize, now).await?;
        }
        if payment.state.captured_minor() > 0 {
            operations::finish_reached(conn, id, OperationKind::Capture, now).await?;
        }
        self.note_let_go(conn, &payment, &intent.seen).await?;
        if payment.status() == Status::Voided {
            operations::finish_reached(conn, id, OperationKind::Void, now).await?;
        }
        Ok(payment)
    }
}

impl Payments {
    /// Whoever has its client secret can confirm a declined intent again, until it is cancelled.
    pub(super) async fn note_let_go(
        &self,
        conn: &mut PgConnection,
        payment: &Payment,
        seen: &Seen,
    ) -> Result<(), PaymentError> {
        if payment.status() == Status::Declined && matches!(seen, Seen::Cancelled { .. }) {
            payments::note_let_go(conn, payment.id, self.clock.now()).await?;
        }
        Ok(())
    }
}

/// An intent of another payment, or over another amount, must never be taken for this one's.
fn is_ours(payment: &Payment, intent: &Intent) -> Result<(), Divergence> {
    let ours = payment.status();
    if intent.payment_id != Some(payment.id) {
        let theirs = format!("intent {} is of another payment", intent.id);
        return Err(Divergence { ours, theirs });
    }
    if intent.amount != payment.terms.amount {
        let theirs = format!(
            "intent {} is over {} instead of {}",
            intent.id, intent.amount, payment.terms.amount
        );
        return Err(Divergence { ours, theirs });
    }
    Ok(())
}

fn count_divergence() {
    metrics::counter!("payment_divergences_total").increment(1);
}
