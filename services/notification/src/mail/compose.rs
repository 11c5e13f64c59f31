use std::time::SystemTime;

use ferrocart_types::NotificationId;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::templates::Templates;
use super::unsubscribe::Unsubscribe;
use crate::config::Settings;
use crate::store::Claimed;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("the template failed: {0}")]
    Template(#[from] minijinja::Error),
    /// Its own words would repeat the address.
    #[error("the recipient's address cannot stand in an e-mail")]
    Recipient,
    #[error("the e-mail cannot be put together: {0}")]
    Message(#[from] lettre::error::Error),
}

/// Turns notifications into e-mails. The same notification always gives the same bytes, whoever
/// composes it and how often: id, date and boundary come from the notification.
#[derive(Debug)]
pub(crate) struct Composer {
    templates: Templates,
    from: Mailbox,
    unsubscribe: Unsubscribe,
}

impl Composer {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let from = settings.sender_mailbox().map_err(anyhow::Error::from)?;
        Ok(Self {
            templates: Templates::parse()?,
            from,
            unsubscribe: Unsubscribe::new(settings).map_err(anyhow::Error::from)?,
        })
    }

    pub(crate) fn compose(&self, id: NotificationId, claimed: &Claimed) -> Result<Message, ComposeError> {
        let kind = claimed.content.occasion.kind();
        let link = self.unsubscribe.link(claimed.customer_id, kind);
        let bodies = self.templates.render(
            claimed.locale,
            claimed.order_id,
            &claimed.subject,
            &claimed.content,
            link.as_deref(),
        )?;
        let recipient = claimed
            .recipient
            .as_str()
            .parse()
            .map_err(|_| ComposeError::Recipient)?;
        let mut message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .date(SystemTime::from(claimed.tried.created_at))
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(claimed.subject.as_str())
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("Content-Language", claimed.locale.as_str()));
        if let Some(link) = &link {
            message = message
                .raw_header(header("List-Unsubscribe", &format!("<{link}>")))
                .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        if let Some(trace_id) = claimed.traceparent.as_deref().and_then(trace_id) {
            message = message.raw_header(header("X-Trace-Id", trace_id));
        }
        // The boundary cannot be foreseen by those who write product titles.
        let parts = MultiPart::alternative()
            .boundary(format!("ferrocart-{}", id.as_uuid().simple()))
            .singlepart(SinglePart::plain(bodies.text))
            .singlepart(SinglePart::html(bodies.html));
        Ok(message.multipart(parts)?)
    }
}

pub(super) fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The trace id of a W3C `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}
