use ferrocart_types::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::user::{PersonName, UserRoles};

/// What a machine may do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// GET alone.
    Read,
    /// All that the key's roles allow.
    Write,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }

    /// What was asked for, where the key allows it.
    pub(crate) fn narrow(self, asked: Option<Self>) -> Option<Self> {
        match (self, asked) {
            (own, None) => Some(own),
            (Self::Read, Some(Self::Write)) => None,
            (_, Some(asked)) => Some(asked),
        }
    }
}

/// A machine's credentials, without the secret.
#[derive(Debug, Clone)]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) name: PersonName,
    pub(crate) scope: Scope,
    pub(crate) roles: UserRoles,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl ApiKey {
    pub(crate) fn is_good_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_narrowed_and_never_widened() {
        use Scope::{Read, Write};
        assert_eq!(Write.narrow(None), Some(Write));
        assert_eq!(Write.narrow(Some(Read)), Some(Read));
        assert_eq!(Read.narrow(None), Some(Read));
        assert_eq!(Read.narrow(Some(Write)), None);
        for scope in [Read, Write] {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
    }
}
