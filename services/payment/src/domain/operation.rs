use std::fmt;
use std::str::FromStr;

use ferrocart_types::{PaymentId, Timestamp};
use uuid::Uuid;

/// What is asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    Authorize,
    Capture,
    Void,
    Refund,
}

impl OperationKind {
    pub const ALL: [Self; 4] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "AUTHORIZE",
            Self::Capture => "CAPTURE",
            Self::Void => "VOID",
            Self::Refund => "REFUND",
        }
    }
}

/// How an operation stands.
///
/// STARTED → SUCCEEDED, REFUSED, UNKNOWN, or ABANDONED when it provably never left this process;
/// UNKNOWN → SUCCEEDED or REFUSED, once the provider was asked. STARTED and UNKNOWN are open, and a
/// payment has at most one open operation: the database holds that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationState {
    Started,
    Unknown,
    Succeeded,
    Refused,
    Abandoned,
}

impl OperationState {
    pub const ALL: [Self; 5] = [
        Self::Started,
        Self::Unknown,
        Self::Succeeded,
        Self::Refused,
        Self::Abandoned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Unknown => "UNKNOWN",
            Self::Succeeded => "SUCCEEDED",
            Self::Refused => "REFUSED",
            Self::Abandoned => "ABANDONED",
        }
    }

    pub const fn is_open(self) -> bool {
        matches!(self, Self::Started | Self::Unknown)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of an operation's kind or state")]
pub struct UnknownName(String);

macro_rules! by_name {
    ($($type:ty),+) => {$(
        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL
                    .into_iter()
                    .find(|value| value.as_str() == text)
                    .ok_or_else(|| UnknownName(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}
by_name!(OperationKind, OperationState);

/// An operation that this process drives, for as long as its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOperation {
    pub id: Uuid,
    pub payment_id: PaymentId,
    pub kind: OperationKind,
    /// The provider does what bears this key at most once.
    pub provider_key: String,
    /// What to capture or to refund.
    pub amount_minor: Option<i64>,
    /// Counts the drivers: the fence. An older one's result is not taken.
    pub attempt: i32,
    pub created_at: Timestamp,
}

impl OpenOperation {
    /// One that is driven for the first time.
    pub fn first(
        id: Uuid,
        payment_id: PaymentId,
        kind: OperationKind,
        provider_key: String,
        amount_minor: Option<i64>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            payment_id,
            kind,
            provider_key,
            amount_minor,
            attempt: 1,
            created_at,
        }
    }
}
