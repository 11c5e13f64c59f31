use chrono::TimeDelta;

use super::*;
use crate::read::rows::{Books, Step};

const TOTAL: i64 = 4_200;

fn moment() -> Moment {
    Moment {
        now: Timestamp::from_timestamp(1_700_000_000, 0).unwrap(),
        grace: TimeDelta::seconds(30),
        action_max: TimeDelta::minutes(10),
    }
}

fn ago(seconds: i64) -> Timestamp {
    moment().now - TimeDelta::seconds(seconds)
}

fn trail(sequence: i64, status: i32, captured_minor: i64, refunded_minor: i64) -> Trail {
    Trail {
        first: 1,
        newest: Step {
            partition: 0,
            sequence,
            status,
            captured_minor,
            refunded_minor,
        },
        faults: Vec::new(),
    }
}

/// An order that went this way and is sound, an hour old.
fn sound(history: &[OrderStatus]) -> Case {
    let status = *history.last().unwrap();
    let (payment_status, hold, intent_state) = match status {
        OrderStatus::Cancelled => (PaymentStatus::Voided, Hold::Released, IntentState::Canceled),
        OrderStatus::Confirmed => (
            PaymentStatus::Authorized,
            Hold::Confirmed,
            IntentState::RequiresCapture,
        ),
        _ => (PaymentStatus::Captured, Hold::Deducted, IntentState::Succeeded),
    };
    let (held, taken) = match intent_state {
        IntentState::RequiresCapture => (TOTAL, 0),
        IntentState::Succeeded => (0, TOTAL),
        _ => (0, 0),
    };
    let sequence = i64::try_from(history.len()).unwrap();
    let payment_sequence = if status == OrderStatus::Confirmed { 1 } else { 2 };
    Case {
        order: Some(OrderRow {
            status,
            total_minor: TOTAL,
            sequence,
            created_at: ago(3_600),
            updated_at: ago(3_590),
            history: (1..).zip(history.iter().copied()).collect(),
            saga: None,
            pays_later: false,
            refunded_minor: 0,
            given_minor: 0,
        }),
        payment: Some(PaymentRow {
            payment_id: Uuid::from_u128(9),
            status: payment_status,
            provider_intent: Some("pi_1".to_owned()),
            authorized_minor: TOTAL,
            captured_minor: taken,
            refunded_minor: 0,
            void_requested_at: None,
            sequence: payment_sequence,
            created_at: ago(3_600),
            updated_at: ago(3_590),
            operation: None,
            books: Books {
                authorizations: 1,
                captures: i64::from(taken > 0),
                held_minor: held,
                receivable_minor: taken,
                unbalanced: 0,
            },
        }),
        reservation: Some(ReservationRow {
            status: hold,
            expires_at: ago(2_700),
            updated_at: ago(3_590),
        }),
        intents: vec![Intent {
            id: "pi_1".to_owned(),
            state: intent_state,
            capturable_minor: held,
            received_minor: taken,
            refunded_minor: 0,
            created: ago(3_600),
        }],
        order_events: Some(trail(sequence, status.into(), 0, 0)),
        payment_events: Some(trail(payment_sequence, payment_status.into(), taken, 0)),
    }
}

const PLACED: OrderStatus = OrderStatus::Placed;
const PENDING: OrderStatus = OrderStatus::PaymentPending;
const CONFIRMED: OrderStatus = OrderStatus::Confirmed;
const SHIPPED: OrderStatus = OrderStatus::Shipped;
const CANCELLED: OrderStatus = OrderStatus::Cancelled;

fn confirmed() -> Case {
    sound(&[PLACED, PENDING, CONFIRMED])
}

fn shipped() -> Case {
    sound(&[PLACED, PENDING, CONFIRMED, SHIPPED])
}

fn cancelled() -> Case {
    sound(&[PLACED, PENDING, CANCELLED])
}

fn kinds(case: &Case) -> Vec<&'static str> {
    let verdict = judge(Uuid::from_u128(1), case, &moment());
    verdict.violations.iter().map(|found| found.kind).collect()
}

/// Applies the change and looks for exactly these kinds.
#[track_caller]
fn finds(mut case: Case, change: impl FnOnce(&mut Case), expected: &[&str]) {
    change(&mut case);
    assert_eq!(kinds(&case), expected);
}

fn order(case: &mut Case) -> &mut OrderRow {
    case.order.as_mut().unwrap()
}

fn payment(case: &mut Case) -> &mut PaymentRow {
    case.payment.as_mut().unwrap()
}

#[test]
fn refunds_are_what_went_back() {
    let mut part = shipped();
    order(&mut part).refunded_minor = 300;
    order(&mut part).given_minor = 300;
    payment(&mut part).refunded_minor = 300;
    payment(&mut part).books.receivable_minor -= 300;
    part.intents[0].refunded_minor = 300;
    if let Some(trail) = &mut part.payment_events {
        trail.newest.refunded_minor = 300;
    }
    assert_eq!(kinds(&part), [""; 0]);
    let mut untold = part.clone();
    order(&mut untold).refunded_minor = 0;
    assert_eq!(kinds(&untold), ["REFUND_DIFFERS"]);
    let mut twice = part.clone();
    order(&mut twice).given_minor = 600;
    assert_eq!(kinds(&twice), ["REFUND_WITHOUT_MONEY"]);
    order(&mut part).status = OrderStatus::Refunded;
    assert!(kinds(&part).contains(&"REFUNDED_IN_PART"));
}

#[test]
fn sound_orders_have_no_violation() {
    for case in [confirmed(), shipped(), cancelled(), Case::default()] {
        assert_eq!(kinds(&case), [""; 0], "{case:?}");
    }
    let sold_out = Case {
        payment: None,
        reservation: None,
        intents: Vec::new(),
        payment_events: None,
        ..sound(&[PLACED, CANCELLED])
    };
    assert_eq!(kinds(&sold_out), [""; 0]);
}

#[test]
fn money_without_an_order_is_found() {
    finds(
        shipped(),
        |case| {
            case.order = None;
            case.order_events = None;
        },
        &["CHARGED_WITHOUT_ORDER"],
    );
    finds(
        shipped(),
        |case| {
            order(case).history.remove(2);
        },
        &["CHARGED_WITHOUT_ORDER", "HISTORY_DIFFERS"],
    );
    finds(
        cancelled(),
        |case| {
            case.intents[0].state = IntentState::Succeeded;
            case.intents[0].received_minor = TOTAL;
        },
        &[
            "CHARGED_WITHOUT_ORDER",
            "CHARGED_CANCELLED_ORDER",
            "PROVIDER_DIFFERS",
        ],
    );
    finds(
        cancelled(),
        |case| {
            case.intents[0].state = IntentState::RequiresCapture;
            case.intents[0].capturable_minor = TOTAL;
        },
        &["HELD_FOR_CANCELLED_ORDER", "PROVIDER_DIFFERS"],
    );
}

#[test]
fn an_order_without_money_is_found() {
    finds(
        confirmed(),
        |case| {
            case.payment = None;
            case.payment_events = None;
            case.intents.clear();
        },
        &["ORDER_NOT_PAID"],
    );
    finds(
        confirmed(),
        |case| {
            case.intents[0].state = IntentState::Canceled;
            case.intents[0].capturable_minor = 0;
        },
        &["ORDER_NOT_PAID", "PROVIDER_DIFFERS"],
    );
    finds(
        confirmed(),
        |case| {
            let voided = PaymentStatus::Voided;
            payment(case).status = voided;
            payment(case).books.held_minor = 0;
            case.payment_events = Some(trail(1, voided.into(), 0, 0));
            case.intents[0].state = IntentState::Canceled;
        },
        &["ORDER_NOT_PAID", "ORDER_NOT_PAID"],
    );
    finds(confirmed(), |case| order(case).total_minor = 1, &["WRONG_AMOUNT"]);
}

#[test]
fn books_that_differ_are_found() {
    finds(
        shipped(),
        |case| payment(case).books.receivable_minor = 1,
        &["LEDGER_DIFFERS"],
    );
    finds(
        shipped(),
        |case| case.intents[0].refunded_minor = 1,
        &["PROVIDER_DIFFERS"],
    );
    finds(
        shipped(),
        |case| payment(case).books.unbalanced = 1,
        &["LEDGER_UNBALANCED"],
    );
}

#[test]
fn a_second_authorization_or_capture_is_found() {
    let second = |case: &Case| Intent {
        id: "pi_2".to_owned(),
        ..case.intents[0].clone()
    };
    finds(
        confirmed(),
        |case| case.intents.push(second(case)),
        &["AUTHORIZED_TWICE", "UNKNOWN_INTENT"],
    );
    finds(
        shipped(),
        |case| case.intents.push(second(case)),
        &["AUTHORIZED_TWICE", "CAPTURED_TWICE", "UNKNOWN_INTENT"],
    );
    finds(
        shipped(),
        |case| payment(case).books.captures = 2,
        &["BOOKED_TWICE"],
    );
    // A second one that never held anything is none.
    finds(
        confirmed(),
        |case| {
            let mut other = second(case);
            other.state = IntentState::Canceled;
            case.intents.push(other);
        },
        &[],
    );
}

#[test]
fn units_that_do_not_fit_the_order_are_found() {
    for case in [confirmed(), shipped()] {
        finds(
            case.clone(),
            |case| case.reservation = None,
            &["ORDER_WITHOUT_UNITS"],
        );
        finds(
            case,
            |case| case.reservation.as_mut().unwrap().status = Hold::Released,
            &["ORDER_WITHOUT_UNITS"],
        );
    }
    finds(
        cancelled(),
        |case| case.reservation.as_mut().unwrap().status = Hold::Confirmed,
        &["UNITS_NOT_RELEASED"],
    );
}

#[test]
fn events_that_differ_from_the_rows_are_found() {
    finds(confirmed(), |case| case.order_events = None, &["EVENTS_MISSING"]);
    finds(
        confirmed(),
        |case| case.payment_events = None,
        &["EVENTS_MISSING"],
    );
    finds(
        confirmed(),
        |case| case.order_events.as_mut().unwrap().first = 2,
        &["EVENTS_MISSING"],
    );
    finds(
        confirmed(),
        |case| {
            case.order_events
                .as_mut()
                .unwrap()
                .faults
                .push("3 comes after 1".to_owned());
        },
        &["EVENTS_OUT_OF_ORDER"],
    );
    finds(
        confirmed(),
        |case| case.order_events = Some(trail(2, PENDING.into(), 0, 0)),
        &["EVENTS_DIFFER"],
    );
    finds(
        confirmed(),
        |case| case.order_events = Some(trail(3, CANCELLED.into(), 0, 0)),
        &["EVENTS_DIFFER"],
    );
    finds(
        shipped(),
        |case| case.payment_events.as_mut().unwrap().newest.captured_minor = 1,
        &["EVENTS_DIFFER"],
    );
    finds(
        confirmed(),
        |case| order(case).history.truncate(2),
        &["HISTORY_DIFFERS"],
    );
    let nothing = Case {
        order_events: Some(trail(1, 1, 0, 0)),
        payment_events: Some(trail(1, 3, 0, 0)),
        ..Case::default()
    };
    assert_eq!(kinds(&nothing), ["EVENTS_OF_NOTHING", "EVENTS_OF_NOTHING"]);
}

#[test]
fn events_older_than_their_retention_are_not_missed() {
    finds(
        confirmed(),
        |case| {
            let old = moment().now - TimeDelta::days(8);
            order(case).created_at = old;
            order(case).updated_at = old;
            payment(case).created_at = old;
            payment(case).updated_at = old;
            case.order_events = None;
            case.payment_events = None;
        },
        &[],
    );
}

#[test]
fn what_does_not_end_is_found() {
    let unfinished = |seconds: i64| {
        let mut case = sound(&[PLACED, PENDING]);
        order(&mut case).created_at = ago(seconds);
        order(&mut case).updated_at = ago(0);
        case
    };
    assert_eq!(kinds(&unfinished(29)), [""; 0]);
    assert_eq!(kinds(&unfinished(30)), ["ORDER_UNFINISHED"]);
    // The customer may take their time.
    let mut acting = unfinished(600);
    payment(&mut acting).status = PaymentStatus::RequiresAction;
    assert_eq!(kinds(&acting), [""; 0]);
    order(&mut acting).created_at = ago(630);
    assert_eq!(kinds(&acting), ["ORDER_UNFINISHED"]);
    let mut later = unfinished(3_629);
    order(&mut later).pays_later = true;
    assert_eq!(kinds(&later), [""; 0]);
    order(&mut later).created_at = ago(3_630);
    assert_eq!(kinds(&later), ["ORDER_UNFINISHED"]);
    // A hold that never became an order.
    finds(
        confirmed(),
        |case| {
            *case = Case {
                reservation: case.reservation.take(),
                ..Case::default()
            };
        },
        &[],
    );

    finds(
        confirmed(),
        |case| order(case).saga = Some(("SHIP at CAPTURE, RUNNING".to_owned(), ago(31))),
        &["SAGA_UNFINISHED"],
    );
    finds(
        confirmed(),
        |case| payment(case).operation = Some(("VOID UNKNOWN".to_owned(), ago(31))),
        &["OPERATION_IN_FLIGHT"],
    );
    finds(
        confirmed(),
        |case| payment(case).void_requested_at = Some(ago(31)),
        &["VOID_UNFINISHED"],
    );
    let mut expired = Case {
        reservation: confirmed().reservation,
        ..Case::default()
    };
    expired.reservation.as_mut().unwrap().status = Hold::Reserved;
    assert_eq!(kinds(&expired), ["RESERVATION_NOT_EXPIRED"]);
    for not_yet in [ago(29), ago(-60)] {
        expired.reservation.as_mut().unwrap().expires_at = not_yet;
        assert_eq!(kinds(&expired), [""; 0]);
    }
}

#[test]
fn what_changed_a_moment_ago_is_not_compared() {
    let mut case = confirmed();
    case.payment = None;
    case.order.as_mut().unwrap().updated_at = ago(29);
    let verdict = judge(Uuid::from_u128(1), &case, &moment());
    assert!(verdict.too_recent);
    assert!(verdict.violations.is_empty());
}
