//! The charge: what was held on the card, what was taken, and what went back.

use super::Refused;
use super::method::{Decline, Method};
use super::money::{Amount, Currency};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum ChargeState {
    Failed { decline: Decline },
    Authorized { capture_before: i64 },
    Captured { captured: Amount, refunded: i64 },
    Released { at: i64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) intent: String,
    pub(crate) created: i64,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) method: Method,
    /// The intent's when the charge was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) state: ChargeState,
}

impl ChargeState {
    fn name(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::Authorized { .. } => "authorized",
            Self::Captured { .. } => "captured",
            Self::Released { .. } => "released",
        }
    }

    fn refuse(&self, action: &'static str) -> Refused {
        Refused::State {
            action,
            from: self.name(),
        }
    }
}

impl Charge {
    pub(crate) fn captured(&self) -> i64 {
        match self.state {
            ChargeState::Captured { captured, .. } => captured.minor(),
            _ => 0,
        }
    }

    pub(crate) fn refunded(&self) -> i64 {
        match self.state {
            ChargeState::Captured { refunded, .. } => refunded,
            _ => 0,
        }
    }

    /// What the customer has back: of the capture, and what of the authorization was let go.
    pub(crate) fn returned(&self) -> i64 {
        match self.state {
            ChargeState::Captured { captured, refunded } => self.amount.minor() - captured.minor() + refunded,
            ChargeState::Released { .. } => self.amount.minor(),
            ChargeState::Failed { .. } | ChargeState::Authorized { .. } => 0,
        }
    }

    /// Takes `amount`; what is left of the authorization is released with it.
    pub(crate) fn capture(self, amount: Amount) -> Result<Self, Refused> {
        match self.state {
            ChargeState::Authorized { .. } if amount > self.amount => Err(Refused::TooMuch {
                asked: amount.minor(),
                at_most: self.amount.minor(),
            }),
            ChargeState::Authorized { .. } => Ok(Self {
                state: ChargeState::Captured {
                    captured: amount,
                    refunded: 0,
                },
                ..self
            }),
            other => Err(other.refuse("capture")),
        }
    }

    pub(crate) fn release(self, at: i64) -> Result<Self, Refused> {
        match self.state {
            ChargeState::Authorized { .. } => Ok(Self {
                state: ChargeState::Released { at },
                ..self
            }),
            other => Err(other.refuse("release")),
        }
    }

    /// Gives back `amount`, or all that is left. Answers the charge and the amount given back.
    pub(crate) fn refund(self, amount: Option<Amount>) -> Result<(Self, Amount), Refused> {
        match self.state {
            ChargeState::Captured { captured, refunded } => {
                let left = captured.minor() - refunded;
                let Ok(rest) = Amount::new(left) else {
                    return Err(Refused::AlreadyRefunded);
                };
                let amount = amount.unwrap_or(rest);
                if amount > rest {
                    return Err(Refused::TooMuch {
                        asked: amount.minor(),
                        at_most: left,
                    });
                }
                let state = ChargeState::Captured {
                    captured,
                    refunded: refunded + amount.minor(),
                };
                Ok((Self { state, ..self }, amount))
            }
            other => Err(other.refuse("refund")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i64) -> Amount {
        Amount::new(minor).unwrap()
    }

    fn charge(state: ChargeState) -> Charge {
        Charge {
            id: "ch_1".to_owned(),
            intent: "pi_1".to_owned(),
            created: 0,
            amount: amount(500),
            currency: Currency::parse("usd").unwrap(),
            method: Method::parse("pm_card_visa").unwrap(),
            metadata: BTreeMap::new(),
            state,
        }
    }

    #[test]
    fn only_an_authorized_charge_is_captured_or_released_and_only_a_captured_one_refunded() {
        let states = [
            ChargeState::Failed {
                decline: Decline::Generic,
            },
            ChargeState::Authorized { capture_before: 9 },
            ChargeState::Captured {
                captured: amount(300),
                refunded: 0,
            },
            ChargeState::Released { at: 1 },
        ];
        for state in states {
            let held = matches!(state, ChargeState::Authorized { .. });
            let taken = matches!(state, ChargeState::Captured { .. });
            assert_eq!(
                charge(state.clone()).capture(amount(1)).is_ok(),
                held,
                "{state:?}"
            );
            assert_eq!(charge(state.clone()).release(2).is_ok(), held, "{state:?}");
            assert_eq!(charge(state.clone()).refund(None).is_ok(), taken, "{state:?}");
        }
    }

    #[test]
    fn what_is_let_go_is_returned_as_well() {
        let held = charge(ChargeState::Authorized { capture_before: 9 });
        assert_eq!(held.returned(), 0);
        assert_eq!(held.clone().release(1).unwrap().returned(), 500);
        let part = held.capture(amount(300)).unwrap();
        assert_eq!(part.returned(), 200);
        assert_eq!(part.refund(Some(amount(100))).unwrap().0.returned(), 300);
    }

    #[test]
    fn refunds_never_pass_the_capture() {
        let taken = charge(ChargeState::Authorized { capture_before: 9 })
            .capture(amount(300))
            .unwrap();
        let too_much = Refused::TooMuch {
            asked: 301,
            at_most: 300,
        };
        assert_eq!(taken.clone().refund(Some(amount(301))), Err(too_much));
        let (part, _) = taken.refund(Some(amount(100))).unwrap();
        assert_eq!(
            part.clone().refund(Some(amount(201))),
            Err(Refused::TooMuch {
                asked: 201,
                at_most: 200
            })
        );
        let (all, rest) = part.refund(None).unwrap();
        assert_eq!((rest.minor(), all.refunded()), (200, 300));
        assert_eq!(all.refund(Some(amount(1))), Err(Refused::AlreadyRefunded));
    }
}
