use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use ferrocart_config::{ExposeSecret, SecretString};
use ferrocart_types::NotificationId;
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::Mailer;
use crate::domain::{Refusal, SendError};

/// Sends through a mail server; connections are kept.
pub(crate) struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl SmtpMailer {
    pub(crate) fn new(url: &SecretString, connections_max: u32, timeout: Duration) -> anyhow::Result<Self> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            // The parser's own words might repeat the URL, which holds a password.
            .ok()
            .context("smtp_url: no URL of a mail server")?;
        let transport = builder
            .timeout(Some(timeout))
            .pool_config(PoolConfig::new().max_size(connections_max))
            .build();
        Ok(Self { transport })
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    fn name(&self) -> &'static str {
        "smtp"
    }

    async fn deliver(&self, _id: NotificationId, message: &Message) -> Result<(), SendError> {
        let envelope = message.envelope();
        let sent = self.transport.send_raw(envelope, &message.formatted()).await;
        sent.map(|_| ()).map_err(|error| refused(&error))
    }

    async fn probe(&self) -> Result<(), SendError> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::new(
                Refusal::Unavailable,
                "the mail server does not answer",
            )),
            Err(error) => Err(refused(&error)),
        }
    }
}

/// Replies that are about us or the server, not about this e-mail: shutting down, TLS or a login is
/// asked for or fails. Were they counted, an expired password would cost every e-mail of the day.
const ABOUT_THE_WAY: [&str; 7] = ["421", "432", "454", "530", "534", "535", "538"];

fn refused(error: &SmtpError) -> SendError {
    if let Some(code) = error.status() {
        let code = code.to_string();
        let refusal = if ABOUT_THE_WAY.contains(&code.as_str()) {
            Refusal::Unavailable
        } else if error.is_permanent() {
            Refusal::Permanent
        } else {
            Refusal::Temporary
        };
        return SendError::new(refusal, format!("the mail server answered {code}"));
    }
    let reason = if error.is_timeout() {
        "the mail server did not answer in time"
    } else if error.is_tls() {
        "no TLS with the mail server"
    } else if error.is_response() {
        "the mail server's answer is no SMTP"
    } else if error.is_client() {
        "the mail server lacks what this e-mail needs"
    } else {
        "the mail server cannot be reached"
    };
    // What cannot be sent to this server now, such as a login it does not offer, may be put right.
    SendError::new(Refusal::Unavailable, reason)
}
