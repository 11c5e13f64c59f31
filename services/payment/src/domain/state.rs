//! The payment's state machine.
//!
//! | from \ move     | require_action | authorize | decline | fail | capture | refund | void |
//! |-----------------|----------------|-----------|---------|------|---------|--------|------|
//! | PENDING         | RA             | A         | D       | F    |         |        | V    |
//! | REQUIRES_ACTION |                | A         | D       | F    |         |        | V    |
//! | AUTHORIZED      |                |           |         |      | C       |        | V    |
//! | CAPTURED        |                |           |         |      |         | C or R |      |
//! | DECLINED, VOIDED, REFUNDED, FAILED | |        |         |      |         |        |      |
//!
//! A part that is refunded leaves the payment CAPTURED; the last part makes it REFUNDED.

use std::fmt;
use std::str::FromStr;

use ferrocart_types::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The provider has not answered yet.
    Pending,
    /// The customer must act, such as 3-D Secure.
    RequiresAction,
    /// The money is held.
    Authorized,
    /// The issuer said no.
    Declined,
    /// The money is taken, whole or in part, and not all of it went back.
    Captured,
    /// The money is not held any more, or never was.
    Voided,
    /// All that was taken went back.
    Refunded,
    /// The provider did not take the request.
    Failed,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::RequiresAction,
        Self::Authorized,
        Self::Declined,
        Self::Captured,
        Self::Voided,
        Self::Refunded,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::RequiresAction => "REQUIRES_ACTION",
            Self::Authorized => "AUTHORIZED",
            Self::Declined => "DECLINED",
            Self::Captured => "CAPTURED",
            Self::Voided => "VOIDED",
            Self::Refunded => "REFUNDED",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status of a payment")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// Where a payment stands. Amounts are in minor units of the payment's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Pending,
    RequiresAction {
        redirect_url: String,
    },
    Authorized {
        capture_before: Option<Timestamp>,
    },
    Declined {
        code: String,
    },
    Captured {
        captured_minor: i64,
        refunded_minor: i64,
    },
    Refunded {
        captured_minor: i64,
    },
    Voided {
        reason: String,
        /// Whether the money was held before.
        was_authorized: bool,
    },
    Failed {
        code: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    #[error("a payment that is {from} cannot be {action}")]
    Invalid { from: Status, action: &'static str },
    #[error("{asked_minor} is not between 1 and {at_most_minor}")]
    OutOfBounds { asked_minor: i64, at_most_minor: i64 },
}

impl State {
    pub fn status(&self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::RequiresAction { .. } => Status::RequiresAction,
            Self::Authorized { .. } => Status::Authorized,
            Self::Declined { .. } => Status::Declined,
            Self::Captured { .. } => Status::Captured,
            Self::Refunded { .. } => Status::Refunded,
            Self::Voided { .. } => Status::Voided,
            Self::Failed { .. } => Status::Failed,
        }
    }

    pub fn require_action(self, redirect_url: String) -> Result<Self, TransitionError> {
        match self {
            Self::Pending => Ok(Self::RequiresAction { redirect_url }),
            other => Err(other.refuse("sent to the customer")),
        }
    }

    pub fn authorize(self, capture_before: Option<Timestamp>) -> Result<Self, TransitionError> {
        match self {
            Self::Pending | Self::RequiresAction { .. } => Ok(Self::Authorized { capture_before }),
            other => Err(other.refuse("authorized")),
        }
    }

    pub fn decline(self, code: String) -> Result<Self, TransitionError> {
        match self {
            Self::Pending | Self::RequiresAction { .. } => Ok(Self::Declined { code }),
            other => Err(other.refuse("declined")),
        }
    }

    pub fn fail(self, code: String) -> Result<Self, TransitionError> {
        match self {
            Self::Pending | Self::RequiresAction { .. } => Ok(Self::Failed { code }),
            other => Err(other.refuse("failed")),
        }
    }

    /// Takes a part or the whole of what is held; the rest is let go.
    pub fn capture(self, captured_minor: i64, authorized_minor: i64) -> Result<Self, TransitionError> {
        match self {
            Self::Authorized { .. } => {
                within(captured_minor, authorized_minor)?;
                Ok(Self::Captured {
                    captured_minor,
                    refunded_minor: 0,
                })
            }
            other => Err(other.refuse("captured")),
        }
    }

    pub fn refund(self, minor: i64) -> Result<Self, TransitionError> {
        match self {
            Self::Captured {
                captured_minor,
                refunded_minor,
            } => {
                let left = captured_minor - refunded_minor;
                within(minor, left)?;
                if minor == left {
                    Ok(Self::Refunded { captured_minor })
                } else {
                    Ok(Self::Captured {
                        captured_minor,
                        refunded_minor: refunded_minor + minor,
                    })
                }
            }
            other => Err(other.refuse("refunded")),
        }
    }

    pub fn void(self, reason: String) -> Result<Self, TransitionError> {
        let was_authorized = match self {
            Self::Pending | Self::RequiresAction { .. } => false,
            Self::Authorized { .. } => true,
            other => return Err(other.refuse("voided")),
        };
        Ok(Self::Voided {
            reason,
            was_authorized,
        })
    }

    pub fn captured_minor(&self) -> i64 {
        match self {
            Self::Captured { captured_minor, .. } | Self::Refunded { captured_minor } => *captured_minor,
            _ => 0,
        }
    }

    pub fn refunded_minor(&self) -> i64 {
        match self {
            Self::Captured { refunded_minor, .. } => *refunded_minor,
            Self::Refunded { captured_minor } => *captured_minor,
            _ => 0,
        }
    }

    /// Whether the money is held or was held once.
    pub fn was_authorized(&self) -> bool {
        match self {
            Self::Authorized { .. } | Self::Captured { .. } | Self::Refunded { .. } => true,
            Self::Voided { was_authorized, .. } => *was_authorized,
            Self::Pending | Self::RequiresAction { .. } | Self::Declined { .. } | Self::Failed { .. } => {
                false
            }
        }
    }

    /// Whether what is held can be captured no more.
    pub fn has_expired(&self, at: Timestamp) -> bool {
        matches!(self, Self::Authorized { capture_before: Some(until) } if *until <= at)
    }

    fn refuse(&self, action: &'static str) -> TransitionError {
        TransitionError::Invalid {
            from: self.status(),
            action,
        }
    }
}

fn within(asked_minor: i64, at_most_minor: i64) -> Result<(), TransitionError> {
    if (1..=at_most_minor).contains(&asked_minor) {
        Ok(())
    } else {
        Err(TransitionError::OutOfBounds {
            asked_minor,
            at_most_minor,
        })
    }
}
