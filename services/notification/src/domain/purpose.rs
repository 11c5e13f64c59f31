use serde::Deserialize;
use utoipa::ToSchema;

use super::Locale;

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    PasswordReset,
    /// To the address that the account is to have.
    EmailChange,
    /// To the address that the account had.
    EmailRestore,
}

impl Purpose {
    /// Also the name of its templates.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailChange => "email_change",
            Self::EmailRestore => "email_restore",
        }
    }

    pub(crate) const fn subject(self, locale: Locale) -> &'static str {
        match (self, locale) {
            (Self::PasswordReset, Locale::En) => "A new password for your Ferrocart account",
            (Self::PasswordReset, Locale::De) => "Ein neues Passwort für dein Konto bei Ferrocart",
            (Self::EmailChange, Locale::En) => "Your new e-mail address at Ferrocart",
            (Self::EmailChange, Locale::De) => "Deine neue E-Mail-Adresse bei Ferrocart",
            (Self::EmailRestore, Locale::En) => "Your Ferrocart account has another e-mail address",
            (Self::EmailRestore, Locale::De) => "Dein Konto bei Ferrocart hat eine andere E-Mail-Adresse",
        }
    }
}
