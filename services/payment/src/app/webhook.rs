use std::sync::Arc;

use ferrocart_pg_kit::run_tx;
use ferrocart_types::PaymentId;

use super::Payments;
use crate::domain::{IntentId, Payment};
use crate::error::PaymentError;
use crate::provider::{Intent, ProviderEvent, Subject};
use crate::store::payments::{self, By};
use crate::store::provider_events;

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Applied,
    /// It came before.
    Duplicate,
    /// It tells nothing about payments.
    Ignored,
}

impl Payments {
    /// Takes an event that the provider signed. Events come late, twice and out of order, so an event
    /// only says that there may be news: what counts is how the intent stands now.
    pub async fn take_event(self: &Arc<Self>, event: &ProviderEvent) -> Result<Taken, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        if provider_events::is_known(&mut conn, &event.id).await? {
            return Ok(Taken::Duplicate);
        }
        let (payment, intent_id) = match &event.subject {
            Subject::Other => return Ok(Taken::Ignored),
            Subject::Of(id) => (payments::find(&mut conn, By::Intent(id)).await?, id),
            Subject::Intent(intent) => {
                let by = intent.payment_id.map_or(By::Intent(&intent.id), By::Id);
                (payments::find(&mut conn, by).await?, &intent.id)
            }
        };
        drop(conn);
        // Not known, or not known yet: the provider is to come again.
        let payment = payment.ok_or(PaymentError::NotFound)?;
        let news = self.news(&payment, intent_id, &event.subject).await?;
        let outcome = self.record_event(event, payment.id, news).await;
        if let Err(PaymentError::Diverged(error)) = outcome {
            // Coming again would not help; people must look. It stays in the log and in the metrics.
            tracing::error!(payment.id = %payment.id, error = %error, "the provider contradicts our records");
            return self.record_event(event, payment.id, None).await;
        }
        self.relay.poke();
        outcome
    }

    /// The intent as it stands now, unless the event tells what is known.
    async fn news(
        &self,
        payment: &Payment,
        id: &IntentId,
        subject: &Subject,
    ) -> Result<Option<Intent>, PaymentError> {
        if let Subject::Intent(intent) = subject
            && payment.intent.is_some()
            && payment
                .catch_up(Some(id), &intent.seen, self.clock.now())
                .is_ok_and(|changes| changes.is_empty())
        {
            return Ok(None);
        }
        Ok(Some(self.provider.intent(id).await?))
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
