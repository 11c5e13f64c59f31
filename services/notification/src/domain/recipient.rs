use ferrocart_types::Email;

use super::{Channel, Phone};

/// Where a notification goes, and by which channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    Email(Email),
    Phone(Phone),
}

impl Recipient {
    pub(crate) const fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Phone(_) => Channel::Sms,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Email(email) => email.as_str(),
            Self::Phone(phone) => phone.as_str(),
        }
    }

    /// As the database has it; the error says what was expected.
    pub(crate) fn parse(channel: Channel, text: &str) -> Result<Self, String> {
        match channel {
            Channel::Email => Email::parse(text)
                .map(Self::Email)
                .map_err(|error| error.to_string()),
            Channel::Sms => Phone::parse(text)
                .map(Self::Phone)
                .map_err(|error| error.to_string()),
        }
    }
}
