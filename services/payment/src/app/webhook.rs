use std::sync::Arc;

use ferrocart_failpoint::{Site, around};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::PaymentId;

use super::Payments;
use crate::domain::Told;
use crate::error::PaymentError;
use crate::provider::{Intent, ProviderEvent, Subject};
use crate::store::provider_events::{self, Question};

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Applied,
    /// It came before.
    Duplicate,
    /// It tells what is known, or is about to be.
    Known,
    /// It tells nothing about payments.
    Ignored,
}

impl Payments {
    /// Takes an event that the provider signed. Events come late, twice and out of order: what is known
    /// is not written down again, what is surely new is taken from the event, and where it is not sure
    /// the provider is asked how the intent stands now.
    pub async fn take_event(self: &Arc<Self>, event: &ProviderEvent) -> Result<Taken, PaymentError> {
        let intent = match &event.subject {
            Subject::Other => return Ok(Taken::Ignored),
            Subject::RefundFailed(id) => {
                // The money is the shop's again, and the customer's claim stands: people must act.
                tracing::error!(psp.intent = %id, "a refund failed at the provider");
                metrics::counter!("psp_refunds_failed_total").increment(1);
                return Ok(Taken::Ignored);
            }
            Subject::Intent(intent) | Subject::Charge(intent) => intent,
        };
        let now = self.clock.now();
        let question = Question {
            event: event.id.clone(),
            payment: intent.payment_id,
            intent: intent.id.clone(),
            now,
        };
        let standing = self.standings.run(question).await?;
        if standing.known {
            return Ok(Taken::Duplicate);
        }
        // Not known, or not known yet: the provider is to come again.
        let payment = standing.payment.ok_or(PaymentError::NotFound)?;
        let news = match payment.told(&intent.id, &intent.seen, standing.in_hand, now) {
            Told::Nothing => return Ok(Taken::Known),
            Told::Enough if matches!(event.subject, Subject::Charge(_)) => Intent {
                // It was found by its intent.
                payment_id: intent.payment_id.or(Some(payment.id)),
                ..intent.as_ref().clone()
            },
            Told::Enough => intent.as_ref().clone(),
            Told::Hint => self.provider.intent(&intent.id).await?,
        };
        let record = || self.record_event(event, payment.id, Some(news.clone()));
        let outcome = around(Site::PaymentWebhook, record).await;
        if let Err(PaymentError::Diverged(error)) = outcome {
            // Coming again would not help; people must look. It stays in the log and in the metrics.
            tracing::error!(payment.id = %payment.id, error = %error, "the provider contradicts our records");
            return self.record_event(event, payment.id, None).await;
        }
        self.relay.poke();
        outcome
    }

    async fn record_event(
        self: &Arc<Self>,
        event: &ProviderEvent,
        payment: PaymentId,
        news: Option<Intent>,
    ) -> Result<Taken, PaymentError> {
        run_tx(&self.pool, "provider_event", |conn| {
            let (this, news) = (Arc::clone(self), news.clone());
            let (id, kind) = (event.id.clone(), event.kind.clone());
            Box::pin(async move {
                let now = this.clock.now();
                if !provider_events::record(conn, &id, &kind, payment, now).await? {
                    return Ok(Taken::Duplicate);
                }
                if let Some(intent) = &news {
                    this.apply_news(conn, payment, intent).await?;
                }
                Ok(Taken::Applied)
            })
        })
        .await
    }
}
