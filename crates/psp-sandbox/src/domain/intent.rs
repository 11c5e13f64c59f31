//! The payment intent and its state machine.
//!
//! | from \ move             | attach | challenge | authorize | charge | decline | capture | cancel | expire |
//! |-------------------------|--------|-----------|-----------|--------|---------|---------|--------|--------|
//! | requires_payment_method | RC     | RA        | RCap      | S      | RPM     |         | C      |        |
//! | requires_confirmation   | RC     | RA        | RCap      | S      | RPM     |         | C      |        |
//! | requires_action         |        | RA        | RCap      | S      | RPM     |         | C      |        |
//! | requires_capture        |        |           |           |        |         | S       | C      | C      |
//! | succeeded               |        |           |           |        |         |         |        |        |
//! | canceled                |        |           |           |        |         |         |        |        |
//!
//! Stripe's seventh status, `processing`, is not reached by cards.

use super::Refused;
use super::method::{Decline, Method};
use super::money::{Amount, Currency};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureMethod {
    Automatic,
    AutomaticAsync,
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelReason {
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
    Abandoned,
    /// The authorization ran out.
    Automatic,
}

impl CancelReason {
    /// What a caller may give as the reason; `automatic` is the provider's own.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "duplicate" => Some(Self::Duplicate),
            "fraudulent" => Some(Self::Fraudulent),
            "requested_by_customer" => Some(Self::RequestedByCustomer),
            "abandoned" => Some(Self::Abandoned),
            _ => None,
        }
    }
}

/// Where an intent stands. Every transition consumes the state it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum IntentState {
    RequiresPaymentMethod { last_error: Option<Decline> },
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture { capture_before: i64 },
    Succeeded { received: Amount },
    Canceled { at: i64, reason: Option<CancelReason> },
}

impl IntentState {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod { .. } => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::RequiresCapture { .. } => "requires_capture",
            Self::Succeeded { .. } => "succeeded",
            Self::Canceled { .. } => "canceled",
        }
    }

    fn refuse(&self, action: &'static str) -> Refused {
        Refused::State {
            action,
            from: self.name(),
        }
    }

    /// A payment method is there, the confirmation is not.
    fn attach(self) -> Result<Self, Refused> {
        match self {
            Self::RequiresPaymentMethod { .. } | Self::RequiresConfirmation => Ok(Self::RequiresConfirmation),
            other => Err(other.refuse("update")),
        }
    }

    /// Whether a confirmation may end in `next`.
    fn confirm_to(self, next: Self) -> Result<Self, Refused> {
        match self {
            Self::RequiresPaymentMethod { .. } | Self::RequiresConfirmation | Self::RequiresAction => {
                Ok(next)
            }
            other => Err(other.refuse("confirm")),
        }
    }

    fn challenge(self) -> Result<Self, Refused> {
        self.confirm_to(Self::RequiresAction)
    }

    fn authorize(self, capture_before: i64) -> Result<Self, Refused> {
        self.confirm_to(Self::RequiresCapture { capture_before })
    }

    fn charge(self, received: Amount) -> Result<Self, Refused> {
        self.confirm_to(Self::Succeeded { received })
    }

    fn decline(self, decline: Decline) -> Result<Self, Refused> {
        self.confirm_to(Self::RequiresPaymentMethod {
            last_error: Some(decline),
        })
    }

    fn capture(self, received: Amount, now: i64) -> Result<Self, Refused> {
        match self {
            Self::RequiresCapture { capture_before } if now >= capture_before => {
                Err(Refused::Expired { capture_before })
            }
            Self::RequiresCapture { .. } => Ok(Self::Succeeded { received }),
            other => Err(other.refuse("capture")),
        }
    }

    fn cancel(self, at: i64, reason: Option<CancelReason>) -> Result<Self, Refused> {
        match self {
            Self::RequiresPaymentMethod { .. }
            | Self::RequiresConfirmation
            | Self::RequiresAction
            | Self::RequiresCapture { .. } => Ok(Self::Canceled { at, reason }),
            other => Err(other.refuse("cancel")),
        }
    }

    fn expire(self, now: i64) -> Result<Self, Refused> {
        match self {
            Self::RequiresCapture { capture_before } if now < capture_before => {
                Err(Refused::NotYet { capture_before })
            }
            Self::RequiresCapture { .. } => Ok(Self::Canceled {
                at: now,
                reason: Some(CancelReason::Automatic),
            }),
            other => Err(other.refuse("expire")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) capture_method: CaptureMethod,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest_charge: Option<String>,
    pub(crate) state: IntentState,
}

impl Intent {
    pub(crate) fn amount_capturable(&self) -> i64 {
        match self.state {
            IntentState::RequiresCapture { .. } => self.amount.minor(),
            _ => 0,
        }
    }

    pub(crate) fn amount_received(&self) -> i64 {
        match self.state {
            IntentState::Succeeded { received } => received.minor(),
            _ => 0,
        }
    }

    pub(crate) fn attach(self, method: Method) -> Result<Self, Refused> {
        let state = self.state.attach()?;
        Ok(Self {
            state,
            method: Some(method),
            ..self
        })
    }

    pub(crate) fn challenge(self, method: Method) -> Result<Self, Refused> {
        let state = self.state.challenge()?;
        Ok(Self {
            state,
            method: Some(method),
            ..self
        })
    }

    /// The issuer holds the whole amount until `capture_before`.
    pub(crate) fn authorize(
        self,
        method: Method,
        charge: String,
        capture_before: i64,
    ) -> Result<Self, Refused> {
        let state = self.state.authorize(capture_before)?;
        Ok(Self {
            state,
            method: Some(method),
            latest_charge: Some(charge),
            ..self
        })
    }

    /// Authorized and captured in one step (`capture_method` automatic).
    pub(crate) fn charge(self, method: Method, charge: String) -> Result<Self, Refused> {
        let state = self.state.charge(self.amount)?;
        Ok(Self {
            state,
            method: Some(method),
            latest_charge: Some(charge),
            ..self
        })
    }

    /// A declined method is taken off again, as Stripe does.
    pub(crate) fn decline(self, decline: Decline, charge: Option<String>) -> Result<Self, Refused> {
        let state = self.state.decline(decline)?;
        let latest_charge = charge.or(self.latest_charge);
        Ok(Self {
            state,
            method: None,
            latest_charge,
            ..self
        })
    }

    pub(crate) fn capture(self, amount: Amount, now: i64) -> Result<Self, Refused> {
        let at_most = self.amount.minor();
        let state = self.state.capture(amount, now)?;
        if amount.minor() > at_most {
            return Err(Refused::TooMuch {
                asked: amount.minor(),
                at_most,
            });
        }
        Ok(Self { state, ..self })
    }

    pub(crate) fn cancel(self, at: i64, reason: Option<CancelReason>) -> Result<Self, Refused> {
        let state = self.state.cancel(at, reason)?;
        Ok(Self { state, ..self })
    }

    pub(crate) fn expire(self, now: i64) -> Result<Self, Refused> {
        let state = self.state.expire(now)?;
        Ok(Self { state, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: i64 = 1_000;

    fn amount(minor: i64) -> Amount {
        Amount::new(minor).unwrap()
    }

    fn states() -> Vec<IntentState> {
        vec![
            IntentState::RequiresPaymentMethod { last_error: None },
            IntentState::RequiresConfirmation,
            IntentState::RequiresAction,
            IntentState::RequiresCapture {
                capture_before: BEFORE,
            },
            IntentState::Succeeded {
                received: amount(500),
            },
            IntentState::Canceled { at: 1, reason: None },
        ]
    }

    type Move = fn(IntentState) -> Result<IntentState, Refused>;

    fn moves() -> Vec<(&'static str, Move)> {
        vec![
            ("attach", |s| s.attach()),
            ("challenge", |s| s.challenge()),
            ("authorize", |s| s.authorize(BEFORE)),
            ("charge", |s| s.charge(amount(500))),
            ("decline", |s| s.decline(Decline::Generic)),
            ("capture", |s| s.capture(amount(500), BEFORE - 1)),
            ("cancel", |s| s.cancel(7, Some(CancelReason::Abandoned))),
            ("expire", |s| s.expire(BEFORE)),
        ]
    }

    /// The table of the module's documentation, all 48 cells.
    #[test]
    fn the_transition_table_is_exactly_the_published_one() {
        let (rpm, rc, ra) = (
            "requires_payment_method",
            "requires_confirmation",
            "requires_action",
        );
        let (cap, s, c) = ("requires_capture", "succeeded", "canceled");
        let open = [
            Some(rc),
            Some(ra),
            Some(cap),
            Some(s),
            Some(rpm),
            None,
            Some(c),
            None,
        ];
        let table = [
            open,
            open,
            [None, Some(ra), Some(cap), Some(s), Some(rpm), None, Some(c), None],
            [None, None, None, None, None, Some(s), Some(c), Some(c)],
            [None; 8],
            [None; 8],
        ];
        for (state, row) in states().into_iter().zip(table) {
            for ((name, go), expected) in moves().into_iter().zip(row) {
                let from = state.name();
                match (go(state.clone()), expected) {
                    (Ok(next), Some(to)) => assert_eq!(next.name(), to, "{from} {name}"),
                    (Err(Refused::State { from: said, .. }), None) => assert_eq!(said, from, "{name}"),
                    (got, want) => panic!("{from} {name}: got {got:?}, want {want:?}"),
                }
            }
        }
    }

    #[test]
    fn an_authorization_is_captured_before_its_end_and_expires_at_it() {
        let held = IntentState::RequiresCapture {
            capture_before: BEFORE,
        };
        let expired = Refused::Expired {
            capture_before: BEFORE,
        };
        assert_eq!(held.clone().capture(amount(5), BEFORE), Err(expired));
        assert!(held.clone().capture(amount(5), BEFORE - 1).is_ok());
        assert_eq!(
            held.clone().expire(BEFORE - 1),
            Err(Refused::NotYet {
                capture_before: BEFORE
            })
        );
        assert!(held.expire(BEFORE).is_ok());
    }

    #[test]
    fn no_more_is_captured_than_was_authorized() {
        let intent = Intent {
            id: "pi_1".to_owned(),
            created: 0,
            amount: amount(500),
            currency: Currency::parse("usd").unwrap(),
            capture_method: CaptureMethod::Manual,
            metadata: BTreeMap::new(),
            description: None,
            return_url: None,
            method: None,
            latest_charge: None,
            state: IntentState::RequiresCapture {
                capture_before: BEFORE,
            },
        };
        let too_much = Refused::TooMuch {
            asked: 501,
            at_most: 500,
        };
        assert_eq!(intent.clone().capture(amount(501), 0), Err(too_much));
        let part = intent.capture(amount(200), 0).unwrap();
        assert_eq!((part.amount_received(), part.amount_capturable()), (200, 0));
    }
}
