use ferrocart_config::{ConfigError, ExposeSecret, SecretString};
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_telemetry::TelemetrySettings;
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use serde::Deserialize;

use crate::domain::Locale;
use crate::mail::Unsubscribe;
use crate::sms::{self, Destinations};
use crate::webhook::Safe;

/// See `config.default.toml` for what each setting means.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub http: HttpSettings,
    #[serde(flatten)]
    pub telemetry: TelemetrySettings,
    #[serde(flatten)]
    pub auth: AuthSettings,
    #[serde(flatten)]
    pub pg: PgSettings,
    #[serde(flatten)]
    pub kafka: KafkaSettings,
    pub mail_transport: MailTransport,
    pub mail_dir: String,
    /// Holds the password of the mail account.
    pub smtp_url: SecretString,
    pub mail_from: String,
    pub mail_timeout_ms: u64,
    pub locale_default: String,
    /// Where links in e-mails lead.
    pub link_base: String,
    pub sender: SenderSettings,
    /// The password of the SMS provider's account.
    pub sms_auth_token: SecretString,
    pub sms: SmsSettings,
    /// Seal the secrets of endpoints.
    pub webhook_seal_keys: SecretString,
    pub webhooks: WebhookSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    File,
    Smtp,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SenderSettings {
    pub batch_max: u32,
    pub lease_ms: u64,
    pub poll_ms: u64,
    pub backoff_first_ms: u64,
    pub backoff_max_ms: u64,
    pub refusals_max: u32,
    pub give_up_after_hours: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SmsSettings {
    pub url: String,
    pub account_sid: String,
    pub from: String,
    pub prefixes: String,
    pub timeout_ms: u64,
    #[serde(flatten)]
    pub sender: SenderSettings,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WebhookSettings {
    pub allow_loopback: bool,
    pub under_way_max: u32,
    pub under_way_per_endpoint_max: u32,
    pub timeout_ms: u64,
    pub lease_ms: u64,
    pub poll_ms: u64,
    pub retry_seconds: Vec<u32>,
    pub disable_after_hours: u32,
    pub disable_after_failures: u32,
    pub rotation_hours: u32,
    pub keep_days: u32,
    pub endpoints_max: u32,
    pub owner_wait_ms: u64,
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.mail_transport {
            MailTransport::File if self.mail_dir.is_empty() => {
                return Err(ConfigError::rejected(
                    "mail_dir",
                    "mail_transport is `file`: a folder is needed",
                ));
            }
            MailTransport::Smtp => {
                // The parser's own words might repeat the URL, which holds a password.
                AsyncSmtpTransport::<Tokio1Executor>::from_url(self.smtp_url.expose_secret()).map_err(
                    |_| ConfigError::rejected("smtp_url", "mail_transport is `smtp`: a URL is needed, such as smtp://host:25 or smtps://user:password@host:465"),
                )?;
            }
            MailTransport::File => {}
        }
        self.sender_mailbox()?;
        self.locale()?;
        Safe::new(&self.webhook_seal_keys)?;
        Unsubscribe::new(self)?;
        self.webhooks.validate()?;
        sms::provider(self)?;
        Destinations::parse(&self.sms.prefixes)?;
        self.sms.sender.validate("sms", self.sms.timeout_ms)?;
        self.sender.validate("sender", self.mail_timeout_ms)
    }

    pub(crate) fn locale(&self) -> Result<Locale, ConfigError> {
        self.locale_default.parse().map_err(|_| {
            let spoken = Locale::ALL.map(Locale::as_str).join(", ");
            ConfigError::rejected("locale_default", format!("one of {spoken} is expected"))
        })
    }

    pub(crate) fn sender_mailbox(&self) -> Result<Mailbox, ConfigError> {
        self.mail_from.parse().map_err(|_| {
            ConfigError::rejected(
                "mail_from",
                "a mailbox is expected, such as Shop <shop@example.com>",
            )
        })
    }
}

impl SenderSettings {
    fn validate(&self, section: &'static str, timeout_ms: u64) -> Result<(), ConfigError> {
        if !(1..=256).contains(&self.batch_max) {
            return Err(ConfigError::rejected(section, "batch_max must be from 1 to 256"));
        }
        if timeout_ms == 0 || self.lease_ms < timeout_ms.saturating_mul(2) {
            return Err(ConfigError::rejected(
                section,
                "lease_ms must be at least twice the timeout, which must be above 0: a lease that ends while its \
                 message is under way would send it twice",
            ));
        }
        if self.poll_ms == 0 || self.backoff_first_ms == 0 || self.backoff_max_ms < self.backoff_first_ms {
            return Err(ConfigError::rejected(
                section,
                "poll_ms, backoff_first_ms and backoff_max_ms must be above 0, and the last at least as large as the \
                 one before",
            ));
        }
        if self.refusals_max == 0 || self.give_up_after_hours == 0 {
            return Err(ConfigError::rejected(
                section,
                "refusals_max and give_up_after_hours must be above 0",
            ));
        }
        Ok(())
    }
}

impl WebhookSettings {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.under_way_per_endpoint_max == 0 || self.under_way_max < self.under_way_per_endpoint_max {
            return Err(ConfigError::rejected(
                "webhooks.under_way_max, webhooks.under_way_per_endpoint_max",
                "must be above 0, and the first at least as large as the second",
            ));
        }
        if self.timeout_ms == 0 || self.lease_ms < self.timeout_ms.saturating_mul(2) {
            return Err(ConfigError::rejected(
                "webhooks.lease_ms",
                "must be at least twice webhooks.timeout_ms, which must be above 0: a lease that ends while its \
                 delivery is under way would deliver it twice",
            ));
        }
        if self.poll_ms == 0
            || self.keep_days == 0
            || self.endpoints_max == 0
            || self.disable_after_failures == 0
        {
            return Err(ConfigError::rejected(
                "webhooks.poll_ms, webhooks.keep_days, webhooks.endpoints_max, webhooks.disable_after_failures",
                "must be above 0",
            ));
        }
        if self.retry_seconds.len() > 32 {
            return Err(ConfigError::rejected(
                "webhooks.retry_seconds",
                "must be at most 32 waits",
            ));
        }
        Ok(())
    }
}
