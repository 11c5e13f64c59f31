use std::sync::Arc;

use async_trait::async_trait;
use ferrocart_types::NotificationId;

use crate::domain::{Channel, Recipient, Refusal, SendError};
use crate::mail::{Composer, Mailer, Templates};
use crate::sms::SmsProvider;
use crate::store::Claimed;

/// From a notification to its reader, by one channel.
#[async_trait]
pub(crate) trait Outlet: Send + Sync + 'static {
    /// For metrics and logs.
    fn name(&self) -> &'static str;
    fn channel(&self) -> Channel;
    /// `Ok` once it is in the hands of the next one.
    async fn send(&self, id: NotificationId, claimed: &Claimed) -> Result<(), SendError>;
}

pub(crate) struct Mails {
    pub(crate) composer: Composer,
    pub(crate) mailer: Arc<dyn Mailer>,
}

#[async_trait]
impl Outlet for Mails {
    fn name(&self) -> &'static str {
        self.mailer.name()
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    async fn send(&self, id: NotificationId, claimed: &Claimed) -> Result<(), SendError> {
        let message = self.composer.compose(id, claimed).map_err(unwritten)?;
        self.mailer.deliver(id, &message).await
    }
}

pub(crate) struct Texts {
    pub(crate) templates: Templates,
    pub(crate) provider: Arc<dyn SmsProvider>,
}

#[async_trait]
impl Outlet for Texts {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    async fn send(&self, id: NotificationId, claimed: &Claimed) -> Result<(), SendError> {
        let Recipient::Phone(phone) = &claimed.recipient else {
            return Err(SendError::new(Refusal::Permanent, "no number to send it to"));
        };
        let text = self
            .templates
            .sms(claimed.locale, claimed.order_id, &claimed.content)
            .map_err(unwritten)?;
        // An earlier try may have arrived and its answer not, or its replica died.
        let again = claimed.tried.attempts > 1;
        if again
            && self
                .provider
                .has_taken(phone, &text, claimed.tried.created_at)
                .await?
        {
            tracing::info!(notification.id = %id, "the SMS provider has it from an earlier try");
            return Ok(());
        }
        self.provider.send(phone, &text).await
    }
}

/// It will not be written any better the next time.
fn unwritten(error: impl std::fmt::Display) -> SendError {
    SendError::new(Refusal::Permanent, error.to_string())
}
