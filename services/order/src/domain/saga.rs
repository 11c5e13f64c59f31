//! What follows what. [`decide`] alone says how a saga goes on; it does nothing itself.
//!
//! ```text
//! CHECKOUT  RESERVE → AUTHORIZE → CONFIRM → order CONFIRMED
//! SHIP      DEDUCT → CAPTURE → order SHIPPED
//! REFUND    REFUND → order REFUNDED
//! CANCEL    VOID → RELEASE → order CANCELLED
//! ```
//!
//! Undoing a checkout or a failed pick is the way of CANCEL: VOID → RELEASE, from where it is needed.
//! Both undo what may or may not have been done: payment remembers a void of nothing and refuses a later
//! authorization, inventory remembers a release of nothing and refuses a later reservation. An order from a
//! hold reserves by extending the hold; while its payment is waited for the reservation is extended.

use super::CancelReason;

words! {
    pub(crate) enum Kind {
        Checkout = "CHECKOUT",
        Cancel = "CANCEL",
        Ship = "SHIP",
        Refund = "REFUND",
    }
}

words! {
    /// One call to another service.
    pub(crate) enum Step {
        Reserve = "RESERVE",
        Authorize = "AUTHORIZE",
        /// Confirm the reservation: it no longer expires.
        Confirm = "CONFIRM",
        /// The reserved units leave the warehouse.
        Deduct = "DEDUCT",
        Capture = "CAPTURE",
        Refund = "REFUND",
        /// Undo the authorization.
        Void = "VOID",
        /// Undo the reservation.
        Release = "RELEASE",
    }
}

impl Step {
    pub(crate) const fn is_undo(self) -> bool {
        matches!(self, Self::Void | Self::Release)
    }
}

impl Kind {
    pub(crate) const fn first_step(self) -> Step {
        match self {
            Self::Checkout => Step::Reserve,
            Self::Cancel => Step::Void,
            Self::Ship => Step::Deduct,
            Self::Refund => Step::Refund,
        }
    }
}

/// A definite no: the call had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    InsufficientStock,
    Declined,
    /// Another order has the cart.
    CartTaken,
    /// The reservation is no longer there to be used.
    Gone,
    Other,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused(Refusal),
    /// No answer, or one that says nothing: it may or may not have had its effect.
    Unknown,
    /// It is under way elsewhere, such as with the customer.
    Waiting,
}

/// How a saga ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Confirmed,
    Shipped,
    Refunded,
    Cancelled(CancelReason),
    /// Nothing could be done and nothing was.
    Unchanged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Do(Step),
    Undo(Step, CancelReason),
    End(End),
    /// The same step again, with backoff.
    Retry,
    /// Ask again later, as often as it takes.
    Wait,
    /// Neither retry nor undo is known to help: a person must look. Tried on, slowly.
    Stuck,
}

/// Where a saga stands when a step's outcome comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub(crate) step: Step,
    /// Why it undoes, once it does.
    pub(crate) reason: Option<CancelReason>,
    /// Somebody wants the order cancelled.
    pub(crate) cancel: Option<CancelReason>,
    /// The step was tried as often as it may be.
    pub(crate) exhausted: bool,
    /// The customer had all the time there is.
    pub(crate) overdue: bool,
}

pub(crate) fn decide(now: Situation, outcome: Outcome) -> Next {
    match now.step {
        Step::Reserve => after_reserve(now, outcome),
        Step::Authorize => after_authorize(now, outcome),
        Step::Confirm => after_confirm(now, outcome),
        Step::Deduct => match outcome {
            Outcome::Done => Next::Do(Step::Capture),
            Outcome::Refused(Refusal::Gone) => Next::Undo(Step::Void, CancelReason::PickFailed),
            Outcome::Refused(_) => Next::Stuck,
            // What left the warehouse cannot be undone from here: it is asked until it is known.
            Outcome::Unknown | Outcome::Waiting => Next::Retry,
        },
        Step::Capture => match outcome {
            Outcome::Done => Next::End(End::Shipped),
            Outcome::Refused(_) => Next::Stuck,
            Outcome::Unknown | Outcome::Waiting => Next::Retry,
        },
        Step::Refund => match outcome {
            Outcome::Done => Next::End(End::Refunded),
            Outcome::Refused(_) => Next::End(End::Unchanged),
            Outcome::Unknown | Outcome::Waiting => Next::Retry,
        },
        Step::Void => match (outcome, now.reason) {
            (Outcome::Done, Some(reason)) => Next::Undo(Step::Release, reason),
            (Outcome::Unknown | Outcome::Waiting, _) => Next::Retry,
            (Outcome::Done | Outcome::Refused(_), _) => Next::Stuck,
        },
        Step::Release => match (outcome, now.reason) {
            // What is gone need not be released.
            (Outcome::Done | Outcome::Refused(Refusal::Gone | Refusal::InsufficientStock), Some(reason)) => {
                Next::End(End::Cancelled(reason))
            }
            (Outcome::Unknown | Outcome::Waiting, _) => Next::Retry,
            (Outcome::Done | Outcome::Refused(_), _) => Next::Stuck,
        },
    }
}

fn after_reserve(now: Situation, outcome: Outcome) -> Next {
    match (outcome, now.cancel) {
        (Outcome::Done, None) => Next::Do(Step::Authorize),
        (Outcome::Refused(Refusal::InsufficientStock), _) => {
            Next::End(End::Cancelled(CancelReason::InsufficientStock))
        }
        (Outcome::Refused(Refusal::Gone), _) => Next::End(End::Cancelled(CancelReason::ReservationExpired)),
        // The reservation is made beside the cart's mark, and may stand.
        (Outcome::Refused(Refusal::CartTaken), _) => Next::Undo(Step::Release, CancelReason::CartCheckedOut),
        (Outcome::Refused(_), _) => Next::End(End::Cancelled(CancelReason::ReservationRefused)),
        // Whether or not there is a reservation: it is undone.
        (Outcome::Done | Outcome::Unknown | Outcome::Waiting, Some(reason)) => {
            Next::Undo(Step::Release, reason)
        }
        (Outcome::Unknown | Outcome::Waiting, None) if now.exhausted => {
            Next::Undo(Step::Release, CancelReason::DependencyUnavailable)
        }
        (Outcome::Unknown | Outcome::Waiting, None) => Next::Retry,
    }
}

fn after_authorize(now: Situation, outcome: Outcome) -> Next {
    match (outcome, now.cancel) {
        (Outcome::Refused(Refusal::Declined), _) => Next::Undo(Step::Release, CancelReason::PaymentDeclined),
        // The units ran out under a payment that takes too long; it may have come through by now.
        (Outcome::Refused(Refusal::Gone), _) => Next::Undo(Step::Void, CancelReason::ReservationExpired),
        // A refusal that is not understood: the void makes sure that no authorization stands.
        (Outcome::Refused(_), _) => Next::Undo(Step::Void, CancelReason::PaymentFailed),
        (Outcome::Done | Outcome::Unknown | Outcome::Waiting, Some(reason)) => Next::Undo(Step::Void, reason),
        (Outcome::Done, None) => Next::Do(Step::Confirm),
        (Outcome::Unknown, None) if now.exhausted => {
            Next::Undo(Step::Void, CancelReason::DependencyUnavailable)
        }
        (Outcome::Unknown, None) => Next::Retry,
        (Outcome::Waiting, None) if now.overdue => Next::Undo(Step::Void, CancelReason::PaymentTimeout),
        (Outcome::Waiting, None) => Next::Wait,
    }
}

fn after_confirm(now: Situation, outcome: Outcome) -> Next {
    match (outcome, now.cancel) {
        (Outcome::Refused(_), _) => Next::Undo(Step::Void, CancelReason::ReservationExpired),
        (Outcome::Done | Outcome::Unknown | Outcome::Waiting, Some(reason)) => Next::Undo(Step::Void, reason),
        (Outcome::Done, None) => Next::End(End::Confirmed),
        (Outcome::Unknown | Outcome::Waiting, None) if now.exhausted => {
            Next::Undo(Step::Void, CancelReason::DependencyUnavailable)
        }
        (Outcome::Unknown | Outcome::Waiting, None) => Next::Retry,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRIES_MAX: u32 = 4;
    /// Faults come to an end; a saga that outlives them by far does not terminate.
    const STEPS_MAX: usize = 200;

    /// Inventory and payment as the contracts say they are, and what a fault does to a call.
    #[derive(Debug, Default, Clone, PartialEq)]
    #[expect(
        clippy::struct_excessive_bools,
        reason = "a bool for each thing that can have happened"
    )]
    struct World {
        reserved: bool,
        reservation_final: bool,
        deducted: bool,
        authorized: bool,
        voided: bool,
        captured: bool,
        refunded: bool,
    }

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        None,
        LostBefore,
        LostAfter,
        Twice,
        Refused(Refusal),
        Waiting,
        CancelAsked,
        CartTaken,
        ReservationExpires,
    }

    impl World {
        fn act(&mut self, step: Step) -> Outcome {
            match step {
                Step::Reserve if self.reservation_final => Outcome::Refused(Refusal::Gone),
                Step::Reserve => {
                    self.reserved = true;
                    Outcome::Done
                }
                Step::Authorize if self.voided => Outcome::Refused(Refusal::Other),
                Step::Authorize => {
                    self.authorized = true;
                    Outcome::Done
                }
                Step::Confirm if self.reserved => Outcome::Done,
                Step::Deduct if self.deducted => Outcome::Done,
                Step::Deduct if self.reserved => {
                    self.reserved = false;
                    self.reservation_final = true;
                    self.deducted = true;
                    Outcome::Done
                }
                Step::Confirm | Step::Deduct => Outcome::Refused(Refusal::Gone),
                Step::Capture => {
                    self.captured = true;
                    Outcome::Done
                }
                Step::Refund => {
                    self.refunded = true;
                    Outcome::Done
                }
                Step::Void if self.captured => Outcome::Refused(Refusal::Other),
                Step::Void => {
                    self.authorized = false;
                    self.voided = true;
                    Outcome::Done
                }
                Step::Release if self.deducted => Outcome::Refused(Refusal::Other),
                Step::Release => {
                    self.reserved = false;
                    self.reservation_final = true;
                    Outcome::Done
                }
            }
        }
    }

    struct Run {
        world: World,
        end: End,
        steps: Vec<Step>,
    }

    fn run(kind: Kind, mut world: World, faults: &[Fault]) -> Run {
        let mut faults = faults.iter();
        let (mut step, mut tries, mut steps) = (kind.first_step(), 0, Vec::new());
        let mut reason = (kind == Kind::Cancel).then_some(CancelReason::CustomerRequest);
        let mut cancel = None;
        for _ in 0..STEPS_MAX {
            steps.push(step);
            tries += 1;
            let outcome = match faults.next().copied().unwrap_or(Fault::None) {
                Fault::LostBefore => Outcome::Unknown,
                Fault::LostAfter => {
                    world.act(step);
                    Outcome::Unknown
                }
                Fault::Twice => {
                    world.act(step);
                    world.act(step)
                }
                // A definite refusal comes only where the contract knows one, and undoing is never refused.
                Fault::Refused(refusal) => match (step, refusal) {
                    (Step::Reserve, Refusal::InsufficientStock | Refusal::Other) if !world.reserved => {
                        Outcome::Refused(refusal)
                    }
                    (Step::Authorize, Refusal::Declined | Refusal::Other) if !world.authorized => {
                        Outcome::Refused(refusal)
                    }
                    _ => world.act(step),
                },
                Fault::Waiting if step == Step::Authorize => Outcome::Waiting,
                Fault::CartTaken if step == Step::Reserve => {
                    world.act(step);
                    Outcome::Refused(Refusal::CartTaken)
                }
                Fault::None | Fault::CartTaken | Fault::Waiting => world.act(step),
                Fault::CancelAsked => {
                    cancel = cancel.or((kind == Kind::Checkout).then_some(CancelReason::CustomerRequest));
                    world.act(step)
                }
                Fault::ReservationExpires => {
                    if kind == Kind::Checkout && step != Step::Reserve && world.reserved {
                        world.reserved = false;
                        world.reservation_final = true;
                    }
                    world.act(step)
                }
            };
            let now = Situation {
                step,
                reason,
                cancel,
                exhausted: tries >= TRIES_MAX,
                overdue: tries >= 20,
            };
            match decide(now, outcome) {
                Next::Do(next) => (step, tries) = (next, 0),
                Next::Undo(next, why) => {
                    assert!(next.is_undo());
                    (step, reason, tries) = (next, Some(why), 0);
                }
                Next::End(end) => return Run { world, end, steps },
                Next::Retry | Next::Wait => {}
                Next::Stuck => panic!("{kind} is stuck at {step} in {world:?} after {steps:?}"),
            }
        }
        panic!("{kind} does not end: {steps:?}");
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            4 => Just(Fault::None),
            3 => Just(Fault::LostBefore),
            3 => Just(Fault::LostAfter),
            2 => Just(Fault::Twice),
            1 => Just(Fault::Refused(Refusal::InsufficientStock)),
            1 => Just(Fault::Refused(Refusal::Declined)),
            1 => Just(Fault::Refused(Refusal::Other)),
            1 => Just(Fault::CartTaken),
            1 => Just(Fault::Waiting),
            1 => Just(Fault::CancelAsked),
            1 => Just(Fault::ReservationExpires),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_checkout_ends_confirmed_with_everything_or_cancelled_with_nothing(
            faults in proptest::collection::vec(fault(), 0..40)
        ) {
            let run = run(Kind::Checkout, World::default(), &faults);
            match run.end {
                End::Confirmed => {
                    prop_assert!(run.world.authorized && !run.world.voided, "no payment: {:?}", run.steps);
                    prop_assert!(run.world.reserved, "no stock: {:?}", run.steps);
                }
                End::Cancelled(_) => {
                    prop_assert!(!run.world.authorized, "charged: {:?}", run.steps);
                    prop_assert!(!run.world.reserved, "stock kept: {:?}", run.steps);
                }
                other => prop_assert!(false, "a checkout ended as {:?}", other),
            }
        }

        #[test]
        fn a_shipment_takes_stock_and_money_or_neither(
            faults in proptest::collection::vec(fault(), 0..40), stock in any::<bool>()
        ) {
            let confirmed = World { reserved: stock, authorized: true, ..World::default() };
            let run = run(Kind::Ship, confirmed, &faults);
            match run.end {
                End::Shipped => prop_assert!(run.world.deducted && run.world.captured),
                End::Cancelled(reason) => {
                    prop_assert_eq!(reason, CancelReason::PickFailed);
                    prop_assert!(!run.world.deducted && !run.world.captured && !run.world.authorized);
                }
                other => prop_assert!(false, "a shipment ended as {:?}", other),
            }
        }

        #[test]
        fn a_cancellation_leaves_nothing(faults in proptest::collection::vec(fault(), 0..40)) {
            let confirmed = World { reserved: true, authorized: true, ..World::default() };
            let run = run(Kind::Cancel, confirmed, &faults);
            prop_assert_eq!(run.end, End::Cancelled(CancelReason::CustomerRequest));
            prop_assert!(!run.world.reserved && !run.world.authorized);
        }
    }

    #[test]
    fn no_payment_is_asked_for_without_stock() {
        let run = run(
            Kind::Checkout,
            World::default(),
            &[Fault::Refused(Refusal::InsufficientStock)],
        );
        assert_eq!(run.end, End::Cancelled(CancelReason::InsufficientStock));
        assert_eq!(run.steps, [Step::Reserve]);
    }

    #[test]
    fn unknown_outcomes_are_bounded_going_forward_and_unbounded_undoing() {
        let lost = [Fault::LostAfter; 30];
        let run = run(Kind::Checkout, World::default(), &lost);
        assert_eq!(run.end, End::Cancelled(CancelReason::DependencyUnavailable));
        assert_eq!(run.steps.iter().filter(|step| **step == Step::Reserve).count(), 4);
        assert!(!run.steps.contains(&Step::Authorize));
    }

    #[test]
    fn a_refused_refund_leaves_the_order_as_it_was() {
        let now = Situation {
            step: Step::Refund,
            reason: None,
            cancel: None,
            exhausted: false,
            overdue: false,
        };
        assert_eq!(
            decide(now, Outcome::Refused(Refusal::Other)),
            Next::End(End::Unchanged)
        );
    }
}
