use std::fmt;

use ferrocart_types::UserId;
use uuid::Uuid;

/// A cart is named after whom it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CartId {
    User(UserId),
    Guest(UserId),
}

impl CartId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let id = UserId(Uuid::parse_str(id).ok()?);
        match kind {
            "user" => Some(Self::User(id)),
            "guest" => Some(Self::Guest(id)),
            _ => None,
        }
    }
}

impl fmt::Display for CartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Guest(id) => write!(f, "guest:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_from_its_text() {
        let id = UserId(Uuid::from_u128(7));
        for cart in [CartId::User(id), CartId::Guest(id)] {
            assert_eq!(CartId::parse(&cart.to_string()), Some(cart));
        }
        for bad in [
            "",
            "user",
            "user:",
            "user:x",
            "robot:00000000-0000-0000-0000-000000000007",
        ] {
            assert_eq!(CartId::parse(bad), None, "{bad}");
        }
    }
}
