/// What a mailed link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkPurpose {
    PasswordReset,
    /// To the address that the account is to have.
    EmailChange,
    /// To the address that the account had: it is told of the change, and can take the account back.
    EmailRestore,
}

impl LinkPurpose {
    const ALL: [Self; 3] = [Self::PasswordReset, Self::EmailChange, Self::EmailRestore];

    /// As in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::EmailChange => "EMAIL_CHANGE",
            Self::EmailRestore => "EMAIL_RESTORE",
        }
    }

    /// As the notification service calls it.
    pub(crate) fn mail(self) -> String {
        self.as_str().to_lowercase()
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}
