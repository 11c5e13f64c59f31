//! What an event of the provider is worth: it may come late, twice and out of order.

use ferrocart_types::Timestamp;

use super::catch_up::Seen;
use super::operation::OperationKind;
use super::payment::{IntentId, Payment};

/// An operation whose driver is at work right now; its outcome will be known whatever becomes of the
/// driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHand {
    pub kind: OperationKind,
    pub amount_minor: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What is known, or what the operation in hand is about to learn.
    Nothing,
    /// All that is needed to bring the payment forward.
    Enough,
    /// There may be news, but how the intent stands now must be asked for.
    Hint,
}

impl Payment {
    /// What it means for the payment that an event saw the intent so.
    pub fn told(&self, intent: &IntentId, seen: &Seen, in_hand: Option<InHand>, at: Timestamp) -> Told {
        match self.catch_up(Some(intent), seen, at) {
            Ok(changes) if changes.is_empty() && self.intent.is_some() => Told::Nothing,
            Ok(_) if in_hand.is_some_and(|operation| self.is_about_to_learn(operation, seen)) => {
                Told::Nothing
            }
            Ok(changes) if !changes.is_empty() => match seen {
                // Money moves one way only, and what is cancelled stays so.
                Seen::Captured { .. }
                | Seen::Cancelled { .. }
                | Seen::RequiresAction { .. }
                | Seen::Authorized {
                    capture_before: Some(_),
                } => Told::Enough,
                // Until when it holds is not said; and after a decline another card may have been taken.
                Seen::Authorized { capture_before: None }
                | Seen::Declined { .. }
                | Seen::Undecided
                | Seen::Refused { .. } => Told::Hint,
            },
            Ok(_) | Err(_) => Told::Hint,
        }
    }

    fn is_about_to_learn(&self, operation: InHand, seen: &Seen) -> bool {
        match (operation.kind, seen) {
            (OperationKind::Authorize, seen) => matches!(
                seen,
                Seen::Undecided
                    | Seen::RequiresAction { .. }
                    | Seen::Authorized { .. }
                    | Seen::Declined { .. }
            ),
            (OperationKind::Capture, Seen::Captured { refunded_minor, .. }) => *refunded_minor == 0,
            (OperationKind::Void, Seen::Cancelled { .. }) => true,
            (OperationKind::Refund, Seen::Captured { refunded_minor, .. }) => {
                let after = operation
                    .amount_minor
                    .map(|minor| self.state.refunded_minor() + minor);
                after == Some(*refunded_minor)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{Currency, Money, OrderId, PaymentId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{MethodToken, State, Terms};

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn payment(intent: Option<&str>, state: State) -> Payment {
        let terms = Terms {
            order_id: OrderId(Uuid::nil()),
            customer_id: UserId(Uuid::nil()),
            amount: Money::new(500, "USD".parse::<Currency>().unwrap()),
            method: Some(MethodToken::parse("pm_card_visa").unwrap()),
        };
        Payment {
            intent: intent.map(|id| IntentId(id.to_owned())),
            state,
            ..Payment::open(PaymentId(Uuid::nil()), terms, AT)
        }
    }

    fn in_hand(kind: OperationKind, amount_minor: Option<i64>) -> InHand {
        InHand { kind, amount_minor }
    }

    fn told(payment: &Payment, seen: &Seen, in_hand: Option<InHand>) -> Told {
        payment.told(&IntentId("pi_1".to_owned()), seen, in_hand, AT)
    }

    #[test]
    fn what_an_operation_in_hand_is_about_to_learn_is_no_news() {
        let held = Seen::Authorized { capture_before: None };
        let pending = payment(None, State::Pending);
        assert_eq!(
            told(&pending, &held, Some(in_hand(OperationKind::Authorize, None))),
            Told::Nothing
        );
        assert_eq!(
            told(&pending, &held, None),
            Told::Hint,
            "nobody else will learn it"
        );
        let cancelled = Seen::Cancelled { reason: "X".into() };
        assert_eq!(
            told(
                &pending,
                &cancelled,
                Some(in_hand(OperationKind::Authorize, None))
            ),
            Told::Enough,
            "that is not what the operation is about"
        );
    }

    #[test]
    fn known_and_older_states_are_no_news_and_newer_ones_suffice() {
        let captured = |captured_minor, refunded_minor| Seen::Captured {
            captured_minor,
            refunded_minor,
        };
        let state = State::Captured {
            captured_minor: 300,
            refunded_minor: 100,
        };
        let ours = payment(Some("pi_1"), state);
        for old in [
            Seen::Authorized { capture_before: None },
            captured(300, 0),
            captured(300, 100),
            Seen::Undecided,
        ] {
            assert_eq!(told(&ours, &old, None), Told::Nothing, "{old:?}");
        }
        assert_eq!(told(&ours, &captured(300, 150), None), Told::Enough);
        let refund = |minor| Some(in_hand(OperationKind::Refund, Some(minor)));
        assert_eq!(told(&ours, &captured(300, 150), refund(50)), Told::Nothing);
        assert_eq!(
            told(&ours, &captured(300, 150), refund(60)),
            Told::Enough,
            "somebody else's refund"
        );
    }

    #[test]
    fn what_contradicts_us_is_asked_for() {
        let ours = payment(
            Some("pi_1"),
            State::Captured {
                captured_minor: 300,
                refunded_minor: 0,
            },
        );
        let theirs = Seen::Captured {
            captured_minor: 200,
            refunded_minor: 0,
        };
        assert_eq!(told(&ours, &theirs, None), Told::Hint);
        let other = ours.told(&IntentId("pi_2".to_owned()), &theirs, None, AT);
        assert_eq!(other, Told::Hint, "another intent");
        let waiting = payment(
            Some("pi_1"),
            State::RequiresAction {
                redirect_url: "https://bank".into(),
            },
        );
        assert_eq!(
            told(&waiting, &Seen::Declined { code: "x".into() }, None),
            Told::Hint
        );
    }
}
