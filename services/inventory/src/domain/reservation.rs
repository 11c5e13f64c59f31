use std::str::FromStr;

use chrono::TimeDelta;
use ferrocart_types::{OrderId, ReservationId, Timestamp, UserId};
use uuid::Uuid;

use crate::domain::lines::Lines;

/// Turns an order's id into its reservation's and back. It touches random bits alone, so a UUIDv7 stays
/// one. An order has one reservation; that its id follows from the order's saves a second unique
/// index, and makes a retry name the same reservation before the database is asked.
const RESERVATION_MASK: u128 = 0x0000_0000_0000_0000_15a7_3c91_e4d2_8b6f;

pub const fn reservation_of(order: OrderId) -> ReservationId {
    ReservationId(Uuid::from_u128(order.as_uuid().as_u128() ^ RESERVATION_MASK))
}

pub const fn order_of(reservation: ReservationId) -> OrderId {
    OrderId(Uuid::from_u128(
        reservation.as_uuid().as_u128() ^ RESERVATION_MASK,
    ))
}

/// Why reserved units went back on sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseReason {
    Cancelled,
    PaymentFailed,
    Expired,
}

/// A word outside its vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct UnknownWord {
    pub expected: &'static str,
}

impl ReleaseReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl FromStr for ReleaseReason {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Cancelled, Self::PaymentFailed, Self::Expired]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or(UnknownWord {
                expected: "CANCELLED, PAYMENT_FAILED or EXPIRED",
            })
    }
}

/// Where a reservation is in its life. Deducted and Released are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Reserved,
    Confirmed,
    Deducted,
    Released(ReleaseReason),
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "RESERVED",
            Self::Confirmed => "CONFIRMED",
            Self::Deducted => "DEDUCTED",
            Self::Released(_) => "RELEASED",
        }
    }

    pub const fn release_reason(self) -> Option<ReleaseReason> {
        match self {
            Self::Released(reason) => Some(reason),
            _ => None,
        }
    }

    /// A state as it was stored; `None` for what cannot be.
    pub fn from_stored(status: &str, reason: Option<&str>) -> Option<Self> {
        match (status, reason) {
            ("RESERVED", None) => Some(Self::Reserved),
            ("CONFIRMED", None) => Some(Self::Confirmed),
            ("DEDUCTED", None) => Some(Self::Deducted),
            ("RELEASED", Some(reason)) => reason.parse().ok().map(Self::Released),
            _ => None,
        }
    }
}

/// However often it is extended, a reservation that is not confirmed ends so long after it was made.
pub const LIFE_MAX: TimeDelta = TimeDelta::hours(1);

/// What may be asked of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Confirm,
    Release(ReleaseReason),
    /// Release what the order has, and see to it that it never has anything: an order without a reservation
    /// gets one that is released.
    Abandon(ReleaseReason),
    /// The buyer lets a hold go, unless it has become an order's for good.
    GiveBack,
    Deduct,
    /// Let it last until then, within [`LIFE_MAX`]; never shorter than it would.
    Extend(Timestamp),
    /// Release it if its time is up, else leave it alone.
    Expire,
}

/// What a command did to the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Confirmed,
    Released(ReleaseReason),
    Deducted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the reservation was released: {}", .0.as_str())]
    AlreadyReleased(ReleaseReason),
    #[error("the units of this reservation have left the warehouse")]
    AlreadyDeducted,
    #[error("the reservation is not confirmed: confirm it before its units are deducted")]
    NotConfirmed,
    #[error("the units belong to an order")]
    Redeemed,
}

/// What follows from a command: an effect may come with a refusal, for a confirmation that comes too late
/// finds the reservation expired and releases it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub after: State,
    /// When it ends, if that changes.
    pub expires_at: Option<Timestamp>,
    pub effect: Option<Effect>,
    pub refusal: Option<Refusal>,
}

impl Step {
    const fn stays(state: State) -> Self {
        Self {
            after: state,
            expires_at: None,
            effect: None,
            refusal: None,
        }
    }

    const fn refused(state: State, refusal: Refusal) -> Self {
        Self {
            after: state,
            expires_at: None,
            effect: None,
            refusal: Some(refusal),
        }
    }

    const fn moves(after: State, effect: Effect) -> Self {
        Self {
            after,
            expires_at: None,
            effect: Some(effect),
            refusal: None,
        }
    }

    const fn released(reason: ReleaseReason, refusal: Option<Refusal>) -> Self {
        Self {
            after: State::Released(reason),
            expires_at: None,
            effect: Some(Effect::Released(reason)),
            refusal,
        }
    }
}

/// Units set aside for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub order_id: OrderId,
    /// For whom, where that is known.
    pub buyer: Option<UserId>,
    pub lines: Lines,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: State,
}

impl Reservation {
    /// What stands for an order that was given up before it had a reservation.
    pub fn tombstone(order_id: OrderId, reason: ReleaseReason, now: Timestamp) -> Self {
        Self {
            order_id,
            buyer: None,
            lines: Lines::none(),
            created_at: now,
            expires_at: now,
            state: State::Released(reason),
        }
    }

    pub fn id(&self) -> ReservationId {
        reservation_of(self.order_id)
    }

    /// Its time is up, whether or not the sweeper has come by.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.state == State::Reserved && self.expires_at <= now
    }

    /// As it must be shown now.
    #[must_use]
    pub fn seen_at(mut self, now: Timestamp) -> Self {
        if self.is_expired(now) {
            self.state = State::Released(ReleaseReason::Expired);
        }
        self
    }

    /// The one place that decides what a command does. A command that was obeyed before is obeyed again
    /// without an effect.
    pub fn step(&self, command: Command, now: Timestamp) -> Step {
        const EXPIRED: ReleaseReason = ReleaseReason::Expired;
        if self.is_expired(now) {
            return match command {
                Command::Expire | Command::Release(_) | Command::Abandon(_) | Command::GiveBack => {
                    Step::released(EXPIRED, None)
                }
                Command::Confirm | Command::Deduct | Command::Extend(_) => {
                    Step::released(EXPIRED, Some(Refusal::AlreadyReleased(EXPIRED)))
                }
            };
        }
        match (self.state, command) {
            (State::Reserved, Command::Confirm) => Step::moves(State::Confirmed, Effect::Confirmed),
            (State::Reserved | State::Confirmed, Command::Release(reason) | Command::Abandon(reason)) => {
                Step::released(reason, None)
            }
            (State::Reserved, Command::GiveBack) => Step::released(ReleaseReason::Cancelled, None),
            (State::Reserved, Command::Extend(until)) => self.extended(until),
            (State::Confirmed, Command::Deduct) => Step::moves(State::Deducted, Effect::Deducted),
            (state @ State::Reserved, Command::Deduct) => Step::refused(state, Refusal::NotConfirmed),
            (state @ (State::Confirmed | State::Deducted), Command::GiveBack) => {
                Step::refused(state, Refusal::Redeemed)
            }
            (
                state @ State::Deducted,
                Command::Confirm | Command::Release(_) | Command::Abandon(_) | Command::Extend(_),
            ) => Step::refused(state, Refusal::AlreadyDeducted),
            (state @ State::Released(reason), Command::Confirm | Command::Deduct | Command::Extend(_)) => {
                Step::refused(state, Refusal::AlreadyReleased(reason))
            }
            (state @ State::Confirmed, Command::Confirm | Command::Extend(_))
            | (state @ State::Deducted, Command::Deduct)
            | (state @ State::Released(_), Command::Release(_) | Command::Abandon(_) | Command::GiveBack)
            | (state, Command::Expire) => Step::stays(state),
        }
    }

    /// Extending is bounded by the reservation's whole life, and never shortens it.
    fn extended(&self, until: Timestamp) -> Step {
        let until = until.min(self.created_at + LIFE_MAX);
        Step {
            expires_at: (until > self.expires_at).then_some(until),
            ..Step::stays(self.state)
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{Quantity, SkuId};

    use super::*;

    const CANCELLED: ReleaseReason = ReleaseReason::Cancelled;
    const FAILED: ReleaseReason = ReleaseReason::PaymentFailed;
    const EXPIRED: ReleaseReason = ReleaseReason::Expired;

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_000_000, 0).unwrap()
    }

    fn reservation(state: State, expires_in: i64) -> Reservation {
        Reservation {
            order_id: OrderId(Uuid::from_u128(1)),
            buyer: None,
            lines: Lines::sum_up(&[(SkuId(Uuid::nil()), Quantity::ONE)]).unwrap(),
            created_at: now() - TimeDelta::minutes(10),
            expires_at: now() + TimeDelta::seconds(expires_in),
            state,
        }
    }

    /// The whole table: state, command, state after, effect, refusal.
    #[test]
    fn every_move_is_as_published() {
        use Command::{Confirm, Deduct, Expire, Release};
        use State::{Confirmed, Deducted, Released, Reserved};
        let released = Refusal::AlreadyReleased(FAILED);
        let table = [
            (Reserved, Confirm, Confirmed, Some(Effect::Confirmed), None),
            (
                Reserved,
                Release(CANCELLED),
                Released(CANCELLED),
                Some(Effect::Released(CANCELLED)),
                None,
            ),
            (Reserved, Deduct, Reserved, None, Some(Refusal::NotConfirmed)),
            (Reserved, Expire, Reserved, None, None),
            (Confirmed, Confirm, Confirmed, None, None),
            (
                Confirmed,
                Release(CANCELLED),
                Released(CANCELLED),
                Some(Effect::Released(CANCELLED)),
                None,
            ),
            (Confirmed, Deduct, Deducted, Some(Effect::Deducted), None),
            (Confirmed, Expire, Confirmed, None, None),
            (Deducted, Confirm, Deducted, None, Some(Refusal::AlreadyDeducted)),
            (
                Deducted,
                Release(CANCELLED),
                Deducted,
                None,
                Some(Refusal::AlreadyDeducted),
            ),
            (Deducted, Deduct, Deducted, None, None),
            (Deducted, Expire, Deducted, None, None),
            (Released(FAILED), Confirm, Released(FAILED), None, Some(released)),
            (Released(FAILED), Release(CANCELLED), Released(FAILED), None, None),
            (Released(FAILED), Deduct, Released(FAILED), None, Some(released)),
            (Released(FAILED), Expire, Released(FAILED), None, None),
        ];
        check(&table);
    }

    #[test]
    fn holds_and_orders_that_are_given_up_move_as_published() {
        use Command::{Abandon, Extend, GiveBack};
        use State::{Confirmed, Deducted, Released, Reserved};
        let released = Refusal::AlreadyReleased(FAILED);
        check(&[
            (
                Reserved,
                Abandon(FAILED),
                Released(FAILED),
                Some(Effect::Released(FAILED)),
                None,
            ),
            (
                Deducted,
                Abandon(FAILED),
                Deducted,
                None,
                Some(Refusal::AlreadyDeducted),
            ),
            (Released(FAILED), Abandon(CANCELLED), Released(FAILED), None, None),
            (
                Reserved,
                GiveBack,
                Released(CANCELLED),
                Some(Effect::Released(CANCELLED)),
                None,
            ),
            (Confirmed, GiveBack, Confirmed, None, Some(Refusal::Redeemed)),
            (Deducted, GiveBack, Deducted, None, Some(Refusal::Redeemed)),
            (Released(FAILED), GiveBack, Released(FAILED), None, None),
            (Confirmed, Extend(now()), Confirmed, None, None),
            (
                Deducted,
                Extend(now()),
                Deducted,
                None,
                Some(Refusal::AlreadyDeducted),
            ),
            (
                Released(FAILED),
                Extend(now()),
                Released(FAILED),
                None,
                Some(released),
            ),
        ]);
    }

    type Row = (State, Command, State, Option<Effect>, Option<Refusal>);

    fn check(table: &[Row]) {
        for &(state, command, after, effect, refusal) in table {
            let step = reservation(state, 60).step(command, now());
            let expected = Step {
                after,
                expires_at: None,
                effect,
                refusal,
            };
            assert_eq!(step, expected, "{state:?} {command:?}");
        }
    }

    #[test]
    fn time_that_is_up_counts_before_the_sweeper_comes() {
        let late = reservation(State::Reserved, 0);
        let extend = Command::Extend(now() + TimeDelta::minutes(5));
        for command in [Command::Confirm, Command::Deduct, extend] {
            let step = late.step(command, now());
            assert_eq!(step.after, State::Released(EXPIRED), "{command:?}");
            assert_eq!(
                step.refusal,
                Some(Refusal::AlreadyReleased(EXPIRED)),
                "{command:?}"
            );
            assert_eq!(step.effect, Some(Effect::Released(EXPIRED)), "{command:?}");
        }
        for command in [Command::Release(CANCELLED), Command::Expire] {
            let step = late.step(command, now());
            assert_eq!(step.effect, Some(Effect::Released(EXPIRED)), "{command:?}");
            assert_eq!(step.refusal, None, "{command:?}");
        }
        assert_eq!(late.seen_at(now()).state, State::Released(EXPIRED));
        let in_time = reservation(State::Reserved, 1);
        assert_eq!(in_time.seen_at(now()).state, State::Reserved);
        let confirmed = reservation(State::Confirmed, -100);
        assert_eq!(confirmed.seen_at(now()).state, State::Confirmed);
    }

    #[test]
    fn extending_is_bounded_and_never_shortens() {
        let open = reservation(State::Reserved, 60);
        let end = |until| open.step(Command::Extend(until), now()).expires_at;
        let later = now() + TimeDelta::minutes(15);
        assert_eq!(end(later), Some(later));
        assert_eq!(end(now() + TimeDelta::seconds(60)), None);
        assert_eq!(end(now() + TimeDelta::seconds(10)), None);
        // It is ten minutes old.
        let last = now() + TimeDelta::minutes(50);
        assert_eq!(end(now() + TimeDelta::minutes(51)), Some(last));
        let mut old = open.clone();
        old.expires_at = last;
        assert_eq!(
            old.step(Command::Extend(now() + TimeDelta::hours(2)), now())
                .expires_at,
            None
        );
    }

    #[test]
    fn a_reservation_and_its_order_lead_to_each_other() {
        let order = OrderId("018f6a54-7b2c-7cc3-98c4-dc0c0c07398f".parse().unwrap());
        let id = reservation_of(order);
        assert_ne!(id.as_uuid(), order.as_uuid());
        assert_eq!(order_of(id), order);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn states_come_back_from_their_words() {
        for state in [
            State::Reserved,
            State::Confirmed,
            State::Deducted,
            State::Released(CANCELLED),
            State::Released(FAILED),
            State::Released(EXPIRED),
        ] {
            let reason = state.release_reason().map(ReleaseReason::as_str);
            assert_eq!(State::from_stored(state.as_str(), reason), Some(state));
        }
        assert_eq!(State::from_stored("RELEASED", None), None);
        assert_eq!(State::from_stored("RESERVED", Some("EXPIRED")), None);
        assert_eq!(State::from_stored("HELD", None), None);
    }
}
