use ferrocart_http_kit::Role;
use ferrocart_types::{Email, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role that an account can have. `guest` is none: guests have no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserRole {
    Customer,
    Merchant,
    Warehouse,
    Support,
    Admin,
}

impl UserRole {
    pub(crate) const ALL: [Self; 5] = [
        Self::Customer,
        Self::Merchant,
        Self::Warehouse,
        Self::Support,
        Self::Admin,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Merchant => "merchant",
            Self::Warehouse => "warehouse",
            Self::Support => "support",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl From<UserRole> for Role {
    fn from(role: UserRole) -> Self {
        match role {
            UserRole::Customer => Self::Customer,
            UserRole::Merchant => Self::Merchant,
            UserRole::Warehouse => Self::Warehouse,
            UserRole::Support => Self::Support,
            UserRole::Admin => Self::Admin,
        }
    }
}

/// What an outside issuer's role is here, such as `shop-managers=merchant`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoleMapping {
    theirs: String,
    ours: UserRole,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form `their-role=role`, with a role of ours")]
pub struct InvalidRoleMapping(String);

impl TryFrom<String> for RoleMapping {
    type Error = InvalidRoleMapping;

    fn try_from(text: String) -> Result<Self, InvalidRoleMapping> {
        let parts = text
            .rsplit_once('=')
            .map(|(theirs, ours)| (theirs.trim(), ours.trim()));
        match parts.map(|(theirs, ours)| (theirs, UserRole::parse(ours))) {
            Some((theirs, Some(ours))) if !theirs.is_empty() => Ok(Self {
                theirs: theirs.to_owned(),
                ours,
            }),
            _ => Err(InvalidRoleMapping(text)),
        }
    }
}

impl RoleMapping {
    pub(crate) fn of(&self, theirs: &str) -> Option<UserRole> {
        (self.theirs == theirs).then_some(self.ours)
    }
}

/// The roles of an account: at least one, each once, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRoles(Vec<UserRole>);

impl UserRoles {
    pub(crate) fn one(role: UserRole) -> Self {
        Self(vec![role])
    }

    /// `None` when there is none.
    pub(crate) fn new(mut roles: Vec<UserRole>) -> Option<Self> {
        roles.sort_unstable();
        roles.dedup();
        (!roles.is_empty()).then_some(Self(roles))
    }

    /// Those that both have; `None` when there is none.
    pub(crate) fn common(&self, other: &Self) -> Option<Self> {
        Self::new(
            self.0
                .iter()
                .copied()
                .filter(|role| other.0.contains(role))
                .collect(),
        )
    }

    pub(crate) fn as_slice(&self) -> &[UserRole] {
        &self.0
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|role| role.as_str()).collect()
    }

    pub(crate) fn to_roles(&self) -> Vec<Role> {
        self.0.iter().copied().map(Role::from).collect()
    }
}

/// How a person wants to be addressed: 1 to 100 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PersonName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 100 characters, none of them a control character")]
pub(crate) struct InvalidName;

impl PersonName {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        if (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName)
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Personal data: `Debug` must not carry it into a log.
impl std::fmt::Debug for PersonName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonName(…)")
    }
}

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) email: Email,
    pub(crate) name: PersonName,
    pub(crate) roles: UserRoles,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_each_there_once() {
        let roles = UserRoles::new(vec![UserRole::Admin, UserRole::Customer, UserRole::Admin]).unwrap();
        assert_eq!(roles.names(), ["customer", "admin"]);
        assert!(UserRoles::new(Vec::new()).is_none());
    }

    #[test]
    fn every_role_comes_back_from_its_name() {
        for role in UserRole::ALL {
            assert_eq!(UserRole::parse(role.as_str()), Some(role));
        }
        for none in ["guest", "service", "anonymous", "Admin", ""] {
            assert_eq!(UserRole::parse(none), None);
        }
    }

    #[test]
    fn a_role_of_others_is_one_of_ours() {
        let parse = |text: &str| RoleMapping::try_from(text.to_owned());
        let mapping = parse(" a=b = merchant ").unwrap();
        assert_eq!(mapping.of("a=b"), Some(UserRole::Merchant));
        assert_eq!(mapping.of("a"), None);
        for bad in [
            "",
            "merchant",
            "=merchant",
            "x=",
            "x=service",
            "x=guest",
            "x=root",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(PersonName::parse("  Ada ").unwrap().as_str(), "Ada");
        for bad in ["", "   ", "a\u{0}b", &"x".repeat(101)] {
            assert!(PersonName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
