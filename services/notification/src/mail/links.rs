//! E-mails that are about no order: a text, a link, and for how long it is good.

use std::time::SystemTime;

use ferrocart_types::{Email, NotificationId, Timestamp};
use lettre::Message;
use lettre::message::{Mailbox, MultiPart, SinglePart};
use minijinja::{Environment, UndefinedBehavior, context};

use super::compose::{ComposeError, header};
use crate::config::Settings;
use crate::domain::{Locale, Purpose};

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../templates/", $name)))
    };
}

const SOURCES: [(&str, &str); 12] = [
    template!("en/password_reset.txt.j2"),
    template!("en/password_reset.html.j2"),
    template!("de/password_reset.txt.j2"),
    template!("de/password_reset.html.j2"),
    template!("en/email_change.txt.j2"),
    template!("en/email_change.html.j2"),
    template!("de/email_change.txt.j2"),
    template!("de/email_change.html.j2"),
    template!("en/email_restore.txt.j2"),
    template!("en/email_restore.html.j2"),
    template!("de/email_restore.txt.j2"),
    template!("de/email_restore.html.j2"),
];

#[derive(Debug)]
pub(crate) struct LinkComposer {
    environment: Environment<'static>,
    from: Mailbox,
}

impl LinkComposer {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            environment: environment()?,
            from: settings.sender_mailbox()?,
        })
    }

    pub(crate) fn compose(
        &self,
        id: NotificationId,
        to: &Email,
        locale: Locale,
        (purpose, link, minutes): (Purpose, &str, u32),
        now: Timestamp,
    ) -> Result<Message, ComposeError> {
        let subject = purpose.subject(locale);
        let render = |format: &str| {
            self.environment
                .get_template(&format!("{}/{}.{format}.j2", locale.as_str(), purpose.as_str()))?
                .render(context! { subject, link, minutes })
        };
        let recipient = to.as_str().parse().map_err(|_| ComposeError::Recipient)?;
        let parts = MultiPart::alternative()
            .boundary(format!("ferrocart-{}", id.as_uuid().simple()))
            .singlepart(SinglePart::plain(render("txt")?))
            .singlepart(SinglePart::html(render("html")?));
        Ok(Message::builder()
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .date(SystemTime::from(now))
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(subject)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("Content-Language", locale.as_str()))
            .multipart(parts)?)
    }
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in SOURCES {
        environment.add_template(name, source)?;
    }
    Ok(environment)
}
