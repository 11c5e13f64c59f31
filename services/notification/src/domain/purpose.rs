use serde::Deserialize;
use utoipa::ToSchema;

use super::Locale;

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    PasswordReset,
}

impl Purpose {
    /// Also the name of its templates.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
        }
    }

    pub(crate) const fn subject(self, locale: Locale) -> &'static str {
        match (self, locale) {
            (Self::PasswordReset, Locale::En) => "A new password for your Ferrocart account",
            (Self::PasswordReset, Locale::De) => "Ein neues Passwort für dein Konto bei Ferrocart",
        }
    }
}
