//! Our books beside the provider's. Unlike an event, what is compared is how the intent stands now, read
//! after our own record: what we have further than the provider is a difference, not old news.

use ferrocart_types::{Money, Timestamp};

use super::catch_up::{Seen, Step};
use super::payment::{IntentId, Payment};
use super::state::State;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// The provider does not know our intent.
    MissingAtProvider,
    /// We do not know the payment that the intent names.
    MissingHere,
    /// The payment has another intent, and this one is not cancelled.
    DuplicateIntent,
    AmountDiffers,
    StateDiffers,
}

impl DifferenceKind {
    pub const ALL: [Self; 5] = [
        Self::MissingAtProvider,
        Self::MissingHere,
        Self::DuplicateIntent,
        Self::AmountDiffers,
        Self::StateDiffers,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingAtProvider => "MISSING_AT_PROVIDER",
            Self::MissingHere => "MISSING_HERE",
            Self::DuplicateIntent => "DUPLICATE_INTENT",
            Self::AmountDiffers => "AMOUNT_DIFFERS",
            Self::StateDiffers => "STATE_DIFFERS",
        }
    }
}

/// What the double-entry books say of a payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    pub held_minor: i64,
    pub receivable_minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Same,
    /// We have not heard yet of what the provider did: it can be taken over.
    Behind(DifferenceKind),
    Differs(DifferenceKind),
}

impl Payment {
    pub fn compare(
        &self,
        books: Books,
        intent: &IntentId,
        amount: Money,
        seen: &Seen,
        at: Timestamp,
    ) -> Comparison {
        if self.intent.as_ref().is_some_and(|ours| ours != intent) {
            return match seen {
                Seen::Cancelled { .. } => Comparison::Same,
                _ => Comparison::Differs(DifferenceKind::DuplicateIntent),
            };
        }
        if amount != self.terms.amount {
            return Comparison::Differs(DifferenceKind::AmountDiffers);
        }
        match self.catch_up(Some(intent), seen, at) {
            Err(_) => Comparison::Differs(self.kind_beside(seen)),
            Ok(changes) if !changes.is_empty() => {
                let only_money = changes
                    .iter()
                    .all(|change| matches!(change.step, Step::Refunded { .. }));
                Comparison::Behind(if only_money {
                    DifferenceKind::AmountDiffers
                } else {
                    DifferenceKind::StateDiffers
                })
            }
            Ok(_) if !self.stands_as(seen) => Comparison::Differs(self.kind_beside(seen)),
            Ok(_) if books != expected_books(amount, seen) => {
                Comparison::Differs(DifferenceKind::AmountDiffers)
            }
            Ok(_) => Comparison::Same,
        }
    }

    fn kind_beside(&self, seen: &Seen) -> DifferenceKind {
        if self.state.captured_minor() > 0 && matches!(seen, Seen::Captured { .. }) {
            DifferenceKind::AmountDiffers
        } else {
            DifferenceKind::StateDiffers
        }
    }

    fn stands_as(&self, seen: &Seen) -> bool {
        match (&self.state, seen) {
            (State::Pending, Seen::Undecided)
            // The customer's card was declined, and another one may be tried.
            | (State::Pending | State::RequiresAction { .. }, Seen::Declined { .. })
            | (State::RequiresAction { .. }, Seen::RequiresAction { .. } | Seen::Undecided)
            | (State::Authorized { .. }, Seen::Authorized { .. })
            | (
                State::Declined { .. } | State::Failed { .. },
                Seen::Declined { .. } | Seen::Undecided | Seen::Cancelled { .. } | Seen::Refused { .. },
            )
            | (State::Voided { .. }, Seen::Cancelled { .. })
            // Nothing is held.
            | (
                State::Voided {
                    was_authorized: false, ..
                },
                Seen::Declined { .. } | Seen::Refused { .. },
            ) => true,
            (
                state @ (State::Captured { .. } | State::Refunded { .. }),
                Seen::Captured {
                    captured_minor,
                    refunded_minor,
                },
            ) => state.captured_minor() == *captured_minor && state.refunded_minor() == *refunded_minor,
            _ => false,
        }
    }
}

/// What must stand in the books when the provider is right.
fn expected_books(amount: Money, seen: &Seen) -> Books {
    match seen {
        Seen::Authorized { .. } => Books {
            held_minor: amount.amount_minor,
            receivable_minor: 0,
        },
        Seen::Captured {
            captured_minor,
            refunded_minor,
        } => Books {
            held_minor: 0,
            receivable_minor: captured_minor - refunded_minor,
        },
        _ => Books::default(),
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{Currency, OrderId, PaymentId, UserId};
    use uuid::Uuid;

    use super::DifferenceKind::{AmountDiffers, DuplicateIntent, StateDiffers};
    use super::*;
    use crate::domain::{MethodToken, Terms};

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn usd(minor: i64) -> Money {
        Money::new(minor, "USD".parse::<Currency>().unwrap())
    }

    fn payment(state: State) -> Payment {
        let terms = Terms {
            order_id: OrderId(Uuid::nil()),
            customer_id: UserId(Uuid::nil()),
            amount: usd(500),
            method: Some(MethodToken::parse("pm_card_visa").unwrap()),
        };
        Payment {
            intent: Some(IntentId("pi_1".to_owned())),
            state,
            ..Payment::open(PaymentId(Uuid::nil()), terms, AT)
        }
    }

    fn captured(captured_minor: i64, refunded_minor: i64) -> (State, Seen) {
        (
            State::Captured {
                captured_minor,
                refunded_minor,
            },
            Seen::Captured {
                captured_minor,
                refunded_minor,
            },
        )
    }

    /// With the books that the provider's side asks for.
    fn compare(state: State, seen: &Seen) -> Comparison {
        let books = expected_books(usd(500), seen);
        payment(state).compare(books, &IntentId("pi_1".to_owned()), usd(500), seen, AT)
    }

    #[test]
    fn what_stands_the_same_is_the_same() {
        let held = (
            State::Authorized { capture_before: None },
            Seen::Authorized { capture_before: None },
        );
        let refunded = (State::Refunded { captured_minor: 300 }, captured(300, 300).1);
        for (state, seen) in [held, captured(500, 0), captured(300, 100), refunded] {
            assert_eq!(compare(state.clone(), &seen), Comparison::Same, "{state:?}");
        }
    }

    #[test]
    fn what_the_provider_has_further_can_be_taken_over_and_what_we_have_further_cannot() {
        let held = State::Authorized { capture_before: None };
        let seen_held = Seen::Authorized { capture_before: None };
        let cancelled = Seen::Cancelled { reason: "X".into() };
        assert_eq!(
            compare(held.clone(), &captured(500, 0).1),
            Comparison::Behind(StateDiffers)
        );
        assert_eq!(
            compare(held.clone(), &cancelled),
            Comparison::Behind(StateDiffers)
        );
        assert_eq!(
            compare(captured(500, 0).0, &captured(500, 20).1),
            Comparison::Behind(AmountDiffers)
        );
        assert_eq!(
            compare(captured(500, 0).0, &seen_held),
            Comparison::Differs(StateDiffers)
        );
        assert_eq!(
            compare(captured(500, 20).0, &captured(500, 0).1),
            Comparison::Differs(AmountDiffers)
        );
        assert_eq!(
            compare(captured(500, 0).0, &captured(400, 0).1),
            Comparison::Differs(AmountDiffers)
        );
        let voided = State::Voided {
            reason: "X".into(),
            was_authorized: true,
        };
        assert_eq!(
            compare(voided, &seen_held),
            Comparison::Differs(StateDiffers),
            "still held"
        );
        let declined = State::Declined { code: "x".into() };
        assert_eq!(compare(declined, &seen_held), Comparison::Differs(StateDiffers));
    }

    #[test]
    fn other_intents_other_amounts_and_other_books_differ() {
        let held = payment(State::Authorized { capture_before: None });
        let seen = Seen::Authorized { capture_before: None };
        let books = expected_books(usd(500), &seen);
        let ours = IntentId("pi_1".to_owned());
        let other = IntentId("pi_2".to_owned());
        assert_eq!(
            held.compare(books, &other, usd(500), &seen, AT),
            Comparison::Differs(DuplicateIntent)
        );
        let cancelled = Seen::Cancelled { reason: "X".into() };
        assert_eq!(
            held.compare(books, &other, usd(500), &cancelled, AT),
            Comparison::Same
        );
        assert_eq!(
            held.compare(books, &ours, usd(400), &seen, AT),
            Comparison::Differs(AmountDiffers)
        );
        assert_eq!(
            held.compare(Books::default(), &ours, usd(500), &seen, AT),
            Comparison::Differs(AmountDiffers)
        );
    }
}
