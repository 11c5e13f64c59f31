//! From a notification to an e-mail, and out.

mod compose;
mod file;
mod links;
mod smtp;
mod templates;
mod unsubscribe;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ferrocart_types::NotificationId;
use lettre::Message;

use crate::config::{MailTransport, Settings};
use crate::domain::SendError;

pub(crate) use compose::Composer;
pub(crate) use links::LinkComposer;
pub(crate) use templates::Templates;
pub(crate) use unsubscribe::Unsubscribe;

/// A way out for e-mails.
#[async_trait]
pub(crate) trait Mailer: Send + Sync + 'static {
    /// For metrics and logs.
    fn name(&self) -> &'static str;
    /// `Ok` once the e-mail is in the hands of the next one, durably. Delivering the same
    /// notification again must be recognisable as such by its reader.
    async fn deliver(&self, id: NotificationId, message: &Message) -> Result<(), SendError>;
    /// Whether an e-mail could get out now.
    async fn probe(&self) -> Result<(), SendError>;
}

pub(crate) fn mailer(settings: &Settings) -> anyhow::Result<Arc<dyn Mailer>> {
    Ok(match settings.mail_transport {
        MailTransport::File => Arc::new(file::FileMailer::new(&settings.mail_dir)),
        MailTransport::Smtp => Arc::new(smtp::SmtpMailer::new(
            &settings.smtp_url,
            settings.sender.batch_max,
            Duration::from_millis(settings.mail_timeout_ms),
        )?),
    })
}
