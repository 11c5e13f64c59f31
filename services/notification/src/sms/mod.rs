//! Messages by SMS, out by a provider's HTTP API.

mod twilio;

use std::sync::Arc;

use async_trait::async_trait;
use ferrocart_config::ConfigError;
use ferrocart_types::Timestamp;

use crate::config::Settings;
use crate::domain::{Phone, SendError};

pub(crate) use twilio::Twilio;

/// A way out for messages by SMS.
#[async_trait]
pub(crate) trait SmsProvider: Send + Sync + 'static {
    /// For metrics and logs.
    fn name(&self) -> &'static str;
    /// `Ok` once the provider has taken the message; whether the telephone shows it is the provider's part.
    async fn send(&self, to: &Phone, text: &str) -> Result<(), SendError>;
    /// Whether the provider has taken this very text for this number since then. No such API knows an idempotency key:
    /// this is how a try whose answer was lost is told from one that never arrived.
    async fn has_taken(&self, to: &Phone, text: &str, since: Timestamp) -> Result<bool, SendError>;
}

/// `None` where no provider is configured: nothing is then offered or sent by SMS.
pub(crate) fn provider(settings: &Settings) -> Result<Option<Arc<dyn SmsProvider>>, ConfigError> {
    if settings.sms.url.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Twilio::new(
        &settings.sms,
        &settings.sms_auth_token,
    )?)))
}

/// The countries that messages go to, by the beginnings of their numbers; none: all. Others would be asked to pay for
/// messages to numbers that cost much and belong to whoever had them sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destinations(Vec<String>);

impl Destinations {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let prefixes = text.split(',').map(str::trim).filter(|prefix| !prefix.is_empty());
        let prefixes: Vec<String> = prefixes.map(str::to_owned).collect();
        let plain = |prefix: &String| {
            prefix
                .strip_prefix('+')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if prefixes.iter().all(plain) {
            Ok(Self(prefixes))
        } else {
            Err(ConfigError::rejected(
                "sms.prefixes",
                "beginnings of numbers with commas between them are expected, such as +49,+43",
            ))
        }
    }

    pub(crate) fn allow(&self, phone: &Phone) -> bool {
        self.0.is_empty() || self.0.iter().any(|prefix| phone.as_str().starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_allowed_by_their_beginnings() {
        let phone = |text| Phone::parse(text).unwrap();
        let some = Destinations::parse("+49, +43,").unwrap();
        assert!(some.allow(&phone("+4915112345678")) && some.allow(&phone("+4366412345678")));
        assert!(!some.allow(&phone("+12025550123")));
        assert!(Destinations::parse("").unwrap().allow(&phone("+12025550123")));
        for bad in ["49", "+", "+49;+43", "+de"] {
            assert!(Destinations::parse(bad).is_err(), "{bad}");
        }
    }
}
