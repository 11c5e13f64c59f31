//! I2, I3, I4 and I6 for an order: what all stores, the topics and the provider say of it, side by side.

use chrono::TimeDelta;
use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::{OrderStatus, PaymentStatus};
use ferrocart_types::Timestamp;
use uuid::Uuid;

use super::trail::Trail;
use super::{Moment, Verdict};
use crate::finding::{Promise, Subject};
use crate::read::rows::{Hold, Intent, IntentState, OrderRow, PaymentRow, ReservationRow};

/// All that is known of one order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    pub(crate) order: Option<OrderRow>,
    pub(crate) payment: Option<PaymentRow>,
    pub(crate) reservation: Option<ReservationRow>,
    pub(crate) intents: Vec<Intent>,
    pub(crate) order_events: Option<Trail>,
    pub(crate) payment_events: Option<Trail>,
}

impl Case {
    fn newest_change(&self) -> Option<Timestamp> {
        let changes = [
            self.order.as_ref().map(|row| row.updated_at),
            self.payment.as_ref().map(|row| row.updated_at),
            self.reservation.as_ref().map(|row| row.updated_at),
            self.intents.iter().map(|intent| intent.created).max(),
        ];
        changes.into_iter().flatten().max()
    }

    fn has(&self, statuses: &[OrderStatus]) -> bool {
        self.order
            .as_ref()
            .is_some_and(|order| statuses.contains(&order.status))
    }
}

/// However the order service is set, an order waits for its payment no longer than its units can be held.
const PAID_LATER_MAX: TimeDelta = TimeDelta::hours(1);

pub(crate) fn judge(order_id: Uuid, case: &Case, moment: &Moment) -> Verdict {
    let mut verdict = Verdict::on(Subject::Order(order_id));
    judge_ends(&mut verdict, case, moment);
    verdict.too_recent = case.newest_change().is_some_and(|at| moment.is_recent(at));
    if verdict.too_recent {
        return verdict;
    }
    judge_payment(&mut verdict, case);
    judge_money(&mut verdict, case);
    judge_refunds(&mut verdict, case);
    judge_intents(&mut verdict, case);
    judge_stock(&mut verdict, case);
    judge_order_events(&mut verdict, case, moment);
    judge_payment_events(&mut verdict, case, moment);
    verdict
}

/// I6: nothing is unfinished for longer than it may be.
fn judge_ends(verdict: &mut Verdict, case: &Case, moment: &Moment) {
    use OrderStatus::{PaymentPending, Placed};
    let acts = case
        .payment
        .as_ref()
        .is_some_and(|payment| payment.status == PaymentStatus::RequiresAction);
    let pays_later = case.order.as_ref().is_some_and(|order| order.pays_later);
    let is_late = |since: Timestamp| {
        let allowed = if pays_later {
            moment.grace + PAID_LATER_MAX
        } else if acts {
            moment.grace + moment.action_max
        } else {
            moment.grace
        };
        !moment.is_within(since, allowed)
    };
    if let Some(order) = &case.order {
        if matches!(order.status, Placed | PaymentPending) && is_late(order.created_at) {
            let doing = order
                .saga
                .as_ref()
                .map_or("nobody is at it", |(saga, _)| saga.as_str());
            let detail = format!("{} since {}; {doing}", name(order.status), order.created_at);
            verdict.add(Promise::FinalState, "ORDER_UNFINISHED", detail);
        } else if let Some((saga, since)) = &order.saga
            && is_late(*since)
        {
            verdict.add(
                Promise::FinalState,
                "SAGA_UNFINISHED",
                format!("{saga}, since {since}"),
            );
        }
    }
    if let Some(reservation) = &case.reservation
        && reservation.status == Hold::Reserved
        && !moment.is_recent(reservation.expires_at)
        && reservation.expires_at < moment.now
    {
        let detail = format!(
            "its reservation is RESERVED and expired at {}",
            reservation.expires_at
        );
        verdict.add(Promise::FinalState, "RESERVATION_NOT_EXPIRED", detail);
    }
    if let Some(payment) = &case.payment {
        judge_payment_ends(verdict, payment, moment);
    }
}

fn judge_payment_ends(verdict: &mut Verdict, payment: &PaymentRow, moment: &Moment) {
    if let Some((operation, since)) = &payment.operation
        && !moment.is_recent(*since)
    {
        let detail = format!("payment {}: {operation}, since {since}", payment.payment_id);
        verdict.add(Promise::FinalState, "OPERATION_IN_FLIGHT", detail);
    }
    let unsettled = matches!(
        payment.status,
        PaymentStatus::Pending | PaymentStatus::RequiresAction | PaymentStatus::Authorized
    );
    if let Some(since) = payment.void_requested_at
        && unsettled
        && !moment.is_recent(since)
    {
        let detail = format!(
            "payment {}: a void was asked for at {since}, it is {}",
            payment.payment_id,
            payment_name(payment.status)
        );
        verdict.add(Promise::FinalState, "VOID_UNFINISHED", detail);
    }
    if payment.books.unbalanced > 0 {
        let detail = format!(
            "payment {}: {} ledger transactions do not sum to zero",
            payment.payment_id, payment.books.unbalanced
        );
        verdict.add(Promise::FinalState, "LEDGER_UNBALANCED", detail);
    }
}

/// I2 between the order and its payment.
fn judge_payment(verdict: &mut Verdict, case: &Case) {
    use OrderStatus::{Cancelled, Confirmed, Delivered, Refunded, Shipped};
    let received: i64 = case.intents.iter().map(|intent| intent.received_minor).sum();
    let given_back: i64 = case.intents.iter().map(|intent| intent.refunded_minor).sum();
    let captured = case
        .payment
        .as_ref()
        .map_or(0, |payment| payment.captured_minor)
        .max(received);
    let was_confirmed = case
        .order
        .as_ref()
        .is_some_and(|order| order.history.iter().any(|(_, status)| *status == Confirmed));
    if captured > 0 && !was_confirmed {
        let order = case
            .order
            .as_ref()
            .map_or("there is no such order", |order| name(order.status));
        let detail = format!("{captured} was captured; never CONFIRMED: {order}");
        verdict.add(Promise::ChargeAndOrder, "CHARGED_WITHOUT_ORDER", detail);
    }
    if case.has(&[Cancelled]) && received > given_back {
        let detail = format!("{received} was captured, {given_back} was given back");
        verdict.add(Promise::ChargeAndOrder, "CHARGED_CANCELLED_ORDER", detail);
    }
    if case.has(&[Cancelled]) {
        for intent in case
            .intents
            .iter()
            .filter(|intent| intent.state == IntentState::RequiresCapture)
        {
            let detail = format!("{} still holds {}", intent.id, intent.capturable_minor);
            verdict.add(Promise::ChargeAndOrder, "HELD_FOR_CANCELLED_ORDER", detail);
        }
    }
    if !case.has(&[Confirmed, Shipped, Delivered, Refunded]) {
        return;
    }
    let (Some(order), Some(payment)) = (&case.order, &case.payment) else {
        verdict.add(Promise::ChargeAndOrder, "ORDER_NOT_PAID", "there is no payment");
        return;
    };
    let paid = match payment.status {
        PaymentStatus::Authorized => order.status == Confirmed,
        PaymentStatus::Captured | PaymentStatus::Refunded => true,
        _ => false,
    };
    if !paid {
        let detail = format!(
            "the order is {}, its payment {} is {}",
            name(order.status),
            payment.payment_id,
            payment_name(payment.status)
        );
        verdict.add(Promise::ChargeAndOrder, "ORDER_NOT_PAID", detail);
    } else if payment.authorized_minor != order.total_minor {
        let detail = format!(
            "the order comes to {}, {} was authorized",
            order.total_minor, payment.authorized_minor
        );
        verdict.add(Promise::ChargeAndOrder, "WRONG_AMOUNT", detail);
    }
    if !case.intents.iter().any(Intent::holds_or_took_money) {
        let detail = format!(
            "the provider neither holds nor took money; it has {}",
            list(&case.intents)
        );
        verdict.add(Promise::ChargeAndOrder, "ORDER_NOT_PAID", detail);
    }
}

/// I2 between the payment, its books and the provider.
fn judge_money(verdict: &mut Verdict, case: &Case) {
    let Some(payment) = &case.payment else { return };
    let held = if payment.status == PaymentStatus::Authorized {
        payment.authorized_minor
    } else {
        0
    };
    let owed = payment.captured_minor - payment.refunded_minor;
    let books = &payment.books;
    if (books.held_minor, books.receivable_minor) != (held, owed) {
        let detail = format!(
            "payment {} is {}: {held} held, {owed} taken; the ledger says {} and {}",
            payment.payment_id,
            payment_name(payment.status),
            books.held_minor,
            books.receivable_minor
        );
        verdict.add(Promise::ChargeAndOrder, "LEDGER_DIFFERS", detail);
    }
    let Some(recorded) = &payment.provider_intent else {
        return;
    };
    let Some(intent) = case.intents.iter().find(|intent| intent.id == *recorded) else {
        let detail = format!("payment {}: the provider has no {recorded}", payment.payment_id);
        verdict.add(Promise::ChargeAndOrder, "PROVIDER_DIFFERS", detail);
        return;
    };
    let there_held = if intent.state == IntentState::RequiresCapture {
        intent.capturable_minor
    } else {
        0
    };
    let there = (there_held, intent.received_minor, intent.refunded_minor);
    let here = (held, payment.captured_minor, payment.refunded_minor);
    if there != here {
        let detail = format!(
            "payment {} has (held, captured, refunded) {here:?}, {recorded} at the provider {there:?}",
            payment.payment_id
        );
        verdict.add(Promise::ChargeAndOrder, "PROVIDER_DIFFERS", detail);
    }
}

/// I2: the order tells what went back, each refund once; all of it makes the order REFUNDED.
fn judge_refunds(verdict: &mut Verdict, case: &Case) {
    let (Some(order), Some(payment)) = (&case.order, &case.payment) else {
        return;
    };
    let mut add = |kind, detail| verdict.add(Promise::ChargeAndOrder, kind, detail);
    if order.refunded_minor != payment.refunded_minor {
        let detail = format!(
            "the order shows {} refunded, payment {} has {}",
            order.refunded_minor, payment.payment_id, payment.refunded_minor
        );
        add("REFUND_DIFFERS", detail);
    }
    if order.given_minor > payment.refunded_minor {
        let detail = format!(
            "refunds of {} were given, {} went back",
            order.given_minor, payment.refunded_minor
        );
        add("REFUND_WITHOUT_MONEY", detail);
    }
    if order.status == OrderStatus::Refunded && payment.refunded_minor < payment.captured_minor {
        let detail = format!(
            "the order is REFUNDED, {} of {} went back",
            payment.refunded_minor, payment.captured_minor
        );
        add("REFUNDED_IN_PART", detail);
    }
}

/// I3: one authorization, one capture.
fn judge_intents(verdict: &mut Verdict, case: &Case) {
    let with_money: Vec<Intent> = case
        .intents
        .iter()
        .filter(|intent| intent.holds_or_took_money())
        .cloned()
        .collect();
    if with_money.len() > 1 {
        let detail = format!(
            "{} intents hold or took money: {}",
            with_money.len(),
            list(&with_money)
        );
        verdict.add(Promise::OnePayment, "AUTHORIZED_TWICE", detail);
    }
    if with_money
        .iter()
        .filter(|intent| intent.received_minor > 0)
        .count()
        > 1
    {
        verdict.add(Promise::OnePayment, "CAPTURED_TWICE", list(&with_money));
    }
    let recorded = case
        .payment
        .as_ref()
        .and_then(|payment| payment.provider_intent.as_deref());
    for intent in with_money
        .iter()
        .filter(|intent| Some(intent.id.as_str()) != recorded)
    {
        let detail = format!(
            "the provider has {}, our payment names {}",
            list(std::slice::from_ref(intent)),
            recorded.unwrap_or("none")
        );
        verdict.add(Promise::OnePayment, "UNKNOWN_INTENT", detail);
    }
    if let Some(payment) = &case.payment {
        let books = &payment.books;
        if books.authorizations > 1 || books.captures > 1 {
            let detail = format!(
                "payment {}: the ledger has {} authorizations and {} captures",
                payment.payment_id, books.authorizations, books.captures
            );
            verdict.add(Promise::OnePayment, "BOOKED_TWICE", detail);
        }
    }
}

/// I1 between the order and its units. A reservation that no order of ours made is its maker's affair.
fn judge_stock(verdict: &mut Verdict, case: &Case) {
    use OrderStatus::{Cancelled, Confirmed, Delivered, Refunded, Shipped};
    let Some(order) = &case.order else { return };
    let held = case.reservation.as_ref().map(|reservation| reservation.status);
    let fits = match order.status {
        // A pick is deducted before the order is shipped; one that failed there is a saga, judged as such.
        Confirmed if order.saga.is_some() => true,
        Confirmed => held == Some(Hold::Confirmed),
        Shipped | Delivered | Refunded => held == Some(Hold::Deducted),
        Cancelled => matches!(held, None | Some(Hold::Released)),
        _ => true,
    };
    if !fits {
        let detail = {
            let held = held.map_or("is not there".to_owned(), |held| format!("is {held:?}"));
            format!("the order is {}, its reservation {held}", name(order.status))
        };
        let kind = if order.status == Cancelled {
            "UNITS_NOT_RELEASED"
        } else {
            "ORDER_WITHOUT_UNITS"
        };
        verdict.add(Promise::NoOversell, kind, detail);
    }
}

/// What the row says that the events must have told.
struct Told<'r> {
    topic: Topic,
    what: &'r str,
    sequence: i64,
    status: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
}

fn judge_order_events(verdict: &mut Verdict, case: &Case, moment: &Moment) {
    let Some(order) = &case.order else {
        if case.order_events.is_some() {
            verdict.add(
                Promise::Events,
                "EVENTS_OF_NOTHING",
                "events of an order that is not",
            );
        }
        return;
    };
    let counted = (1..)
        .zip(&order.history)
        .all(|(number, (sequence, _))| *sequence == number);
    let newest = order
        .history
        .last()
        .map(|(sequence, status)| (*sequence, *status));
    if !counted || newest != Some((order.sequence, order.status)) {
        let detail = format!(
            "the row is {} at {}, the history {:?}",
            name(order.status),
            order.sequence,
            order
                .history
                .iter()
                .map(|(sequence, status)| (*sequence, name(*status)))
                .collect::<Vec<_>>()
        );
        verdict.add(Promise::Events, "HISTORY_DIFFERS", detail);
    }
    let told = Told {
        topic: Topic::Order,
        what: "the order",
        sequence: order.sequence,
        status: order.status.into(),
        created_at: order.created_at,
        updated_at: order.updated_at,
    };
    judge_trail(verdict, case.order_events.as_ref(), &told, moment);
}

fn judge_payment_events(verdict: &mut Verdict, case: &Case, moment: &Moment) {
    let Some(payment) = &case.payment else {
        if case.payment_events.is_some() {
            verdict.add(
                Promise::Events,
                "EVENTS_OF_NOTHING",
                "events of a payment that is not",
            );
        }
        return;
    };
    let what = format!("the payment {}", payment.payment_id);
    let told = Told {
        topic: Topic::Payment,
        what: &what,
        sequence: payment.sequence,
        status: payment.status.into(),
        created_at: payment.created_at,
        updated_at: payment.updated_at,
    };
    judge_trail(verdict, case.payment_events.as_ref(), &told, moment);
    if let Some(trail) = &case.payment_events
        && trail.newest.sequence == payment.sequence
    {
        let there = (trail.newest.captured_minor, trail.newest.refunded_minor);
        let here = (payment.captured_minor, payment.refunded_minor);
        if there != here {
            let detail = format!("{what} has {here:?} captured and refunded, its newest event {there:?}");
            verdict.add(Promise::Events, "EVENTS_DIFFER", detail);
        }
    }
}

fn judge_trail(verdict: &mut Verdict, trail: Option<&Trail>, told: &Told<'_>, moment: &Moment) {
    let mut add = |kind, detail| verdict.add(Promise::Events, kind, detail);
    let Told {
        topic,
        what,
        sequence,
        ..
    } = told;
    let Some(trail) = trail else {
        if *sequence > 0 && moment.is_kept(*topic, told.updated_at) {
            add(
                "EVENTS_MISSING",
                format!("{topic}: {what} is at {sequence}, there is no event"),
            );
        }
        return;
    };
    if !trail.faults.is_empty() {
        add(
            "EVENTS_OUT_OF_ORDER",
            format!("{topic}: {what}: {}", trail.faults.join("; ")),
        );
    }
    if trail.first > 1 && moment.is_kept(*topic, told.created_at) {
        add(
            "EVENTS_MISSING",
            format!("{topic}: {what}: the first one is {}", trail.first),
        );
    }
    if trail.newest.sequence != *sequence && moment.is_kept(*topic, told.updated_at) {
        let detail = format!(
            "{topic}: {what} is at {sequence}, the newest event at {}",
            trail.newest.sequence
        );
        add("EVENTS_DIFFER", detail);
    } else if trail.newest.sequence == *sequence && trail.newest.status != told.status {
        let detail = format!(
            "{topic}: {what} has status {}, its newest event {}",
            told.status, trail.newest.status
        );
        add("EVENTS_DIFFER", detail);
    }
}

pub(crate) fn name(status: OrderStatus) -> &'static str {
    status.as_str_name().trim_start_matches("ORDER_STATUS_")
}

pub(crate) fn payment_name(status: PaymentStatus) -> &'static str {
    status.as_str_name().trim_start_matches("PAYMENT_STATUS_")
}

fn list(intents: &[Intent]) -> String {
    let one = |intent: &Intent| {
        format!(
            "{} ({:?}, {} to capture, {} received, {} refunded)",
            intent.id, intent.state, intent.capturable_minor, intent.received_minor, intent.refunded_minor
        )
    };
    if intents.is_empty() {
        return "no intent".to_owned();
    }
    intents.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
