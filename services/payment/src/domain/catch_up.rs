//! A payment follows what the provider says. What is seen may be late, repeated or out of order: a
//! payment moves forward alone, and what is older than it changes nothing.

use ferrocart_types::Timestamp;

use super::payment::{IntentId, Payment};
use super::state::{State, Status, TransitionError};

/// Why an authorization is voided that nobody captured in time.
const EXPIRED: &str = "AUTHORIZATION_EXPIRED";

/// What the provider says of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was decided yet.
    Undecided,
    RequiresAction {
        redirect_url: String,
    },
    Authorized {
        capture_before: Option<Timestamp>,
    },
    Declined {
        code: String,
    },
    /// All that was captured and refunded so far.
    Captured {
        captured_minor: i64,
        refunded_minor: i64,
    },
    Cancelled {
        reason: String,
    },
    /// The request was refused: there is no intent.
    Refused {
        code: String,
    },
}

/// One thing that happened to a payment; an event is published for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    RequiresAction { redirect_url: String },
    Authorized { capture_before: Option<Timestamp> },
    Declined { code: String },
    Failed { code: String },
    Captured { minor: i64 },
    Refunded { minor: i64 },
    Voided { reason: String, was_authorized: bool },
}

/// A step and the payment as it stands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub step: Step,
    pub payment: Payment,
}

/// The provider says what this payment's past does not allow. Nothing is changed, people must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment is {ours}, the provider says: {theirs}")]
pub struct Divergence {
    pub ours: Status,
    pub theirs: String,
}

impl Payment {
    /// The steps from where the payment stands to what was seen; none when it is there already or
    /// further.
    pub fn catch_up(
        &self,
        intent: Option<&IntentId>,
        seen: &Seen,
        at: Timestamp,
    ) -> Result<Vec<Change>, Divergence> {
        let diverges = |theirs: &str| Divergence {
            ours: self.status(),
            theirs: theirs.to_owned(),
        };
        if let (Some(ours), Some(theirs)) = (&self.intent, intent)
            && ours != theirs
        {
            return Err(diverges(&format!("{theirs} instead of {ours}")));
        }
        let mut road = Road {
            at,
            intent: intent.cloned(),
            payment: self.clone(),
            changes: Vec::new(),
        };
        road.follow(seen)
            .map_err(|error| diverges(&format!("{seen:?}: {error}")))?;
        Ok(road.changes)
    }
}

struct Road {
    at: Timestamp,
    intent: Option<IntentId>,
    payment: Payment,
    changes: Vec<Change>,
}

impl Road {
    fn follow(&mut self, seen: &Seen) -> Result<(), TransitionError> {
        let open = matches!(self.payment.status(), Status::Pending | Status::RequiresAction);
        match seen {
            Seen::RequiresAction { redirect_url } if self.payment.status() == Status::Pending => {
                self.step(Step::RequiresAction {
                    redirect_url: redirect_url.clone(),
                })
            }
            // The customer may try another card.
            Seen::Declined { .. } if open && self.payment.terms.method.is_none() => Ok(()),
            Seen::Declined { code } if open => self.step(Step::Declined { code: code.clone() }),
            Seen::Refused { code } if open => self.step(Step::Failed { code: code.clone() }),
            // No news, or older than what we know.
            Seen::Undecided | Seen::RequiresAction { .. } | Seen::Declined { .. } | Seen::Refused { .. } => {
                Ok(())
            }
            Seen::Authorized { capture_before } => match self.payment.status() {
                Status::Authorized | Status::Captured | Status::Refunded | Status::Voided => Ok(()),
                _ => self.step(Step::Authorized {
                    capture_before: *capture_before,
                }),
            },
            Seen::Captured {
                captured_minor,
                refunded_minor,
            } => self.follow_money(open, *captured_minor, *refunded_minor),
            Seen::Cancelled { reason } => match &self.payment.state {
                State::Voided { .. } | State::Declined { .. } | State::Failed { .. } => Ok(()),
                state => {
                    let was_authorized = state.was_authorized();
                    let reason = if state.has_expired(self.at) {
                        EXPIRED.to_owned()
                    } else {
                        reason.clone()
                    };
                    self.step(Step::Voided {
                        reason,
                        was_authorized,
                    })
                }
            },
        }
    }

    fn follow_money(
        &mut self,
        open: bool,
        captured_minor: i64,
        refunded_minor: i64,
    ) -> Result<(), TransitionError> {
        if open {
            self.step(Step::Authorized { capture_before: None })?;
        }
        let ours = self.payment.state.captured_minor();
        if ours == 0 {
            self.step(Step::Captured {
                minor: captured_minor,
            })?;
        } else if ours != captured_minor {
            return Err(TransitionError::OutOfBounds {
                asked_minor: captured_minor,
                at_most_minor: ours,
            });
        }
        let news = refunded_minor - self.payment.state.refunded_minor();
        if news > 0 {
            self.step(Step::Refunded { minor: news })?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TransitionError> {
        let state = self.payment.state.clone();
        let state = match step.clone() {
            Step::RequiresAction { redirect_url } => state.require_action(redirect_url)?,
            Step::Authorized { capture_before } => state.authorize(capture_before)?,
            Step::Declined { code } => state.decline(code)?,
            Step::Failed { code } => state.fail(code)?,
            Step::Captured { minor } => state.capture(minor, self.payment.terms.amount.amount_minor)?,
            Step::Refunded { minor } => state.refund(minor)?,
            Step::Voided { reason, .. } => state.void(reason)?,
        };
        self.payment.state = state;
        self.payment.intent = self.payment.intent.take().or_else(|| self.intent.clone());
        self.payment.sequence += 1;
        self.payment.updated_at = self.at;
        self.changes.push(Change {
            step,
            payment: self.payment.clone(),
        });
        Ok(())
    }
}
