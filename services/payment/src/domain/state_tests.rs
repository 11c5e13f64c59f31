use ferrocart_types::{Currency, Money, OrderId, PaymentId, Timestamp, UserId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const AMOUNT: i64 = 500;

fn states() -> Vec<State> {
    vec![
        State::Pending,
        State::RequiresAction {
            redirect_url: "https://bank".into(),
        },
        State::Authorized { capture_before: None },
        State::Declined {
            code: "generic_decline".into(),
        },
        State::Captured {
            captured_minor: AMOUNT,
            refunded_minor: 0,
        },
        State::Voided {
            reason: "x".into(),
            was_authorized: true,
        },
        State::Refunded {
            captured_minor: AMOUNT,
        },
        State::Failed { code: "x".into() },
    ]
}

type Move = fn(State) -> Result<State, TransitionError>;

fn moves() -> [(&'static str, Move); 7] {
    [
        ("require_action", |s| s.require_action("https://bank".into())),
        ("authorize", |s| s.authorize(None)),
        ("decline", |s| s.decline("x".into())),
        ("fail", |s| s.fail("x".into())),
        ("capture", |s| s.capture(AMOUNT, AMOUNT)),
        ("refund", |s| s.refund(AMOUNT)),
        ("void", |s| s.void("x".into())),
    ]
}

/// The table of the module's documentation, all 56 cells.
#[test]
fn the_transition_table_is_exactly_the_published_one() {
    use Status::{Authorized, Captured, Declined, Failed, Refunded, RequiresAction, Voided};
    let none = [None; 7];
    let table = [
        [
            Some(RequiresAction),
            Some(Authorized),
            Some(Declined),
            Some(Failed),
            None,
            None,
            Some(Voided),
        ],
        [
            None,
            Some(Authorized),
            Some(Declined),
            Some(Failed),
            None,
            None,
            Some(Voided),
        ],
        [None, None, None, None, Some(Captured), None, Some(Voided)],
        none,
        [None, None, None, None, None, Some(Refunded), None],
        none,
        none,
        none,
    ];
    for (state, row) in states().into_iter().zip(table) {
        for ((name, go), expected) in moves().into_iter().zip(row) {
            let from = state.status();
            match (go(state.clone()), expected) {
                (Ok(next), Some(to)) => assert_eq!(next.status(), to, "{from} {name}"),
                (Err(TransitionError::Invalid { from: said, .. }), None) => assert_eq!(said, from, "{name}"),
                (got, want) => panic!("{from} {name}: got {got:?}, want {want:?}"),
            }
        }
    }
}

#[test]
fn a_part_that_goes_back_leaves_the_payment_captured_and_the_last_one_does_not() {
    let taken = State::Authorized { capture_before: None }
        .capture(300, AMOUNT)
        .unwrap();
    let part = taken.refund(100).unwrap();
    assert_eq!(
        (part.status(), part.captured_minor(), part.refunded_minor()),
        (Status::Captured, 300, 100)
    );
    assert_eq!(
        part.clone().refund(201),
        Err(TransitionError::OutOfBounds {
            asked_minor: 201,
            at_most_minor: 200
        })
    );
    assert_eq!(part.refund(200).unwrap().status(), Status::Refunded);
}

#[test]
fn amounts_stay_within_their_bounds() {
    for minor in [-1, 0, AMOUNT + 1, i64::MAX, i64::MIN] {
        let held = State::Authorized { capture_before: None };
        assert!(held.capture(minor, AMOUNT).is_err(), "{minor}");
        let taken = State::Captured {
            captured_minor: AMOUNT,
            refunded_minor: 0,
        };
        assert!(taken.refund(minor).is_err(), "{minor}");
    }
}

fn payment() -> Payment {
    let terms = Terms {
        order_id: OrderId(Uuid::from_u128(1)),
        customer_id: UserId(Uuid::from_u128(2)),
        amount: Money::new(AMOUNT, Currency::USD),
        method: Some(MethodToken::parse("pm_card_visa").unwrap()),
    };
    Payment::open(PaymentId(Uuid::from_u128(3)), terms, Timestamp::UNIX_EPOCH)
}

fn after(payment: &Payment, seen: &Seen) -> Payment {
    let intent = IntentId("pi_1".into());
    let changes = payment
        .catch_up(Some(&intent), seen, Timestamp::UNIX_EPOCH)
        .unwrap();
    changes
        .last()
        .map_or_else(|| payment.clone(), |change| change.payment.clone())
}

fn captured(refunded_minor: i64) -> Seen {
    Seen::Captured {
        captured_minor: AMOUNT,
        refunded_minor,
    }
}

#[test]
fn what_was_missed_is_made_up_for_step_by_step() {
    let changes = payment()
        .catch_up(None, &captured(200), Timestamp::UNIX_EPOCH)
        .unwrap();
    let steps: Vec<_> = changes.iter().map(|change| change.step.clone()).collect();
    assert_eq!(
        steps,
        [
            Step::Authorized { capture_before: None },
            Step::Captured { minor: AMOUNT },
            Step::Refunded { minor: 200 }
        ]
    );
    assert_eq!(
        changes
            .iter()
            .map(|change| change.payment.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[test]
fn a_payment_never_goes_back() {
    let refunded = after(&payment(), &captured(200));
    for late in [
        Seen::Undecided,
        Seen::RequiresAction {
            redirect_url: "u".into(),
        },
        Seen::Authorized { capture_before: None },
        Seen::Declined { code: "x".into() },
        captured(0),
        captured(200),
    ] {
        assert_eq!(after(&refunded, &late), refunded, "{late:?}");
    }
}

#[test]
fn what_cannot_be_is_not_papered_over() {
    let declined = after(&payment(), &Seen::Declined { code: "x".into() });
    let voided = after(&payment(), &Seen::Cancelled { reason: "x".into() });
    let taken = after(&payment(), &captured(0));
    let held = Seen::Authorized { capture_before: None };
    let cancelled = Seen::Cancelled { reason: "x".into() };
    let less = Seen::Captured {
        captured_minor: 1,
        refunded_minor: 0,
    };
    for (payment, seen) in [
        (&declined, held),
        (&declined, captured(0)),
        (&voided, captured(0)),
        (&taken, cancelled),
        (&taken, less),
        (&taken, captured(AMOUNT + 1)),
    ] {
        let outcome = payment.catch_up(None, &seen, Timestamp::UNIX_EPOCH);
        assert!(outcome.is_err(), "{} {seen:?}", payment.status());
    }
    let other = IntentId("pi_2".into());
    assert!(
        taken
            .catch_up(Some(&other), &captured(0), Timestamp::UNIX_EPOCH)
            .is_err()
    );
}

fn any_seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        Just(Seen::Undecided),
        Just(Seen::RequiresAction {
            redirect_url: "u".into()
        }),
        Just(Seen::Authorized { capture_before: None }),
        Just(Seen::Declined { code: "x".into() }),
        Just(Seen::Refused { code: "x".into() }),
        Just(Seen::Cancelled { reason: "x".into() }),
        (1..=AMOUNT, 0..=AMOUNT).prop_map(|(captured_minor, refunded_minor)| Seen::Captured {
            captured_minor,
            refunded_minor
        }),
    ]
}

proptest! {
    /// Whatever is seen in whatever order: amounts only grow and keep their order, sequences have no
    /// gaps, the books balance, and seeing the same again changes nothing.
    #[test]
    fn any_order_of_news_is_harmless(news in proptest::collection::vec(any_seen(), 0..20)) {
        let mut current = payment();
        let mut held = 0;
        for seen in news {
            let Ok(changes) = current.catch_up(None, &seen, Timestamp::UNIX_EPOCH) else { continue };
            for change in changes {
                let next = change.payment;
                prop_assert_eq!(next.sequence, current.sequence + 1);
                prop_assert!(next.state.captured_minor() >= current.state.captured_minor());
                prop_assert!(next.state.refunded_minor() >= current.state.refunded_minor());
                prop_assert!(next.state.captured_minor() <= next.authorized_minor());
                prop_assert!(next.state.refunded_minor() <= next.state.captured_minor());
                if let Some(posting) = Posting::of(&change.step, AMOUNT) {
                    prop_assert_eq!(posting.entries.iter().map(|entry| entry.amount_minor).sum::<i64>(), 0);
                    held += posting.entries.iter().filter(|entry| entry.account == Account::Held)
                        .map(|entry| entry.amount_minor).sum::<i64>();
                }
                current = next;
            }
            prop_assert!(current.catch_up(None, &seen, Timestamp::UNIX_EPOCH).unwrap().is_empty());
            prop_assert_eq!(held, if current.status() == Status::Authorized { AMOUNT } else { 0 });
        }
    }
}
