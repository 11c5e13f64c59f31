//! The calls that the steps make, and what their answers mean.

use chrono::TimeDelta;
use ferrocart_http_kit::CallError;
use ferrocart_types::{ReservationId, Timestamp};

use super::SagaError;
use crate::clients::{Clients, PaymentView, Reservation, ReservationStatus, is_definite};
use crate::config::SagaSettings;
use crate::domain::saga::{Outcome, Refusal};
use crate::domain::{CancelReason, Order, PaymentFact, PaymentStatus, Step};
use crate::store::sagas::{Refused, Saga};

/// How often a cart is asked to be marked before the order goes on without.
const MARK_TRIES_MAX: i32 = 3;

/// A step's outcome with what was learnt by it.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) reservation_id: Option<ReservationId>,
    /// Until when the units are reserved, if that was learnt.
    pub(super) reserved_until: Option<Timestamp>,
    pub(super) payment: Option<PaymentFact>,
    pub(super) refused: Option<Refused>,
    pub(super) detail: Option<String>,
}

impl Report {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            reservation_id: None,
            reserved_until: None,
            payment: None,
            refused: None,
            detail: None,
        }
    }

    fn reserved(reservation: &Reservation) -> Self {
        Self {
            reservation_id: Some(reservation.id),
            reserved_until: reservation.expires_at,
            ..Self::of(Outcome::Done)
        }
    }

    /// Nothing is known but why.
    pub(super) fn lost(why: &impl ToString) -> Self {
        Self {
            detail: Some(why.to_string()),
            ..Self::of(Outcome::Unknown)
        }
    }

    fn unknown(error: &CallError) -> Self {
        Self::lost(error)
    }

    /// A call that gave no success: refused if that is certain, else unknown.
    fn failed(error: &CallError, refusal: Refusal) -> Self {
        let outcome = if is_definite(error) {
            Outcome::Refused(refusal)
        } else {
            Outcome::Unknown
        };
        let refused = match error {
            CallError::Refused { problem, .. } => Some(Refused {
                code: problem.code.clone(),
                detail: problem.detail.clone(),
                errors: problem
                    .errors
                    .iter()
                    .map(|error| (error.field.clone(), error.reason.clone()))
                    .collect(),
                decline_code: problem
                    .extra
                    .get("decline_code")
                    .and_then(|code| code.as_str())
                    .map(ToOwned::to_owned),
            }),
            _ => None,
        };
        Self {
            refused,
            detail: Some(error.to_string()),
            ..Self::of(outcome)
        }
    }
}

pub(super) struct Performer<'a> {
    pub(super) clients: &'a Clients,
    pub(super) settings: &'a SagaSettings,
    pub(super) saga: &'a Saga,
    pub(super) order: &'a Order,
    pub(super) now: Timestamp,
}

impl Performer<'_> {
    /// Makes the step's call. Errors are bugs; whatever a neighbour does is a report.
    pub(super) async fn perform(&self) -> Result<Report, SagaError> {
        match self.saga.step {
            Step::Reserve => Ok(self.reserve_and_mark_cart().await),
            Step::Authorize => self.authorize().await,
            Step::Confirm => self.confirm().await,
            Step::Deduct => self.deduct().await,
            Step::Capture => Ok(self.payment("capture", PaymentStatus::Captured).await),
            Step::Refund => Ok(self.refund().await),
            Step::Void => Ok(self.payment("void", PaymentStatus::Voided).await),
            Step::Release => Ok(self.release().await),
        }
    }

    fn reservation_id(&self) -> Option<ReservationId> {
        self.order.reservation_id().or(self.saga.payload.reservation_id)
    }

    /// The cart is marked beside the reservation. The mark makes one order of one cart, even where two were
    /// sent with keys of their own, and lets the cart service empty the cart when the order is confirmed.
    async fn reserve_and_mark_cart(&self) -> Report {
        let Some(cart) = self.order.cart_id else {
            return self.reserve().await;
        };
        let (report, marked) = tokio::join!(
            self.reserve(),
            self.clients.cart.mark_checked_out(cart, self.order.id)
        );
        match marked {
            Ok(()) => report,
            // Without stock or an answer from inventory the saga does not go on anyway.
            Err(_) if report.outcome != Outcome::Done => report,
            Err(error) if error.code() == Some("CART_CHECKED_OUT") => Report {
                reservation_id: report.reservation_id,
                ..Report::failed(&error, Refusal::CartTaken)
            },
            Err(error) if self.saga.attempts < MARK_TRIES_MAX => Report {
                reservation_id: report.reservation_id,
                ..Report::unknown(&error)
            },
            Err(error) => {
                // A cart that is not emptied is an annoyance; an order that is refused for it is worse.
                tracing::warn!(%error, "the cart could not be marked as checked out");
                report
            }
        }
    }

    async fn reserve(&self) -> Report {
        let (inventory, hold_seconds) = (&self.clients.inventory, self.settings.hold_seconds);
        let reserved = match self.saga.payload.hold {
            Some(hold) => inventory.extend(hold, hold_seconds).await,
            None => inventory.reserve(self.order, hold_seconds).await,
        };
        match reserved {
            Ok(reservation) => match reservation.status {
                ReservationStatus::Reserved | ReservationStatus::Confirmed => Report::reserved(&reservation),
                // The order's reservation from an earlier try, which has run out meanwhile.
                ReservationStatus::Released | ReservationStatus::Deducted => Report {
                    reservation_id: Some(reservation.id),
                    ..Report::of(Outcome::Refused(Refusal::Gone))
                },
            },
            Err(error) => match error.code() {
                // A SKU that inventory has never heard of has no stock.
                Some("INSUFFICIENT_STOCK" | "PRODUCT_NOT_FOUND") => {
                    Report::failed(&error, Refusal::InsufficientStock)
                }
                Some(
                    "RESERVATION_ALREADY_RELEASED" | "RESERVATION_ALREADY_DEDUCTED" | "RESERVATION_NOT_FOUND",
                ) => Report::failed(&error, Refusal::Gone),
                _ => Report::failed(&error, Refusal::Other),
            },
        }
    }

    /// Extends the reservation before it runs out under a payment that is under way. Answers until when the
    /// units are reserved, if that was asked, or the report that they are gone.
    async fn keep_units(&self) -> Result<Option<Timestamp>, Box<Report>> {
        let hold_seconds = self.settings.hold_seconds;
        let margin = TimeDelta::seconds(i64::from(hold_seconds / 2));
        let until = self.saga.payload.reserved_until;
        let Some(reservation) = self.reservation_id() else {
            return Ok(None);
        };
        if until.is_some_and(|until| until - self.now > margin) {
            return Ok(None);
        }
        match self.clients.inventory.extend(reservation, hold_seconds).await {
            Ok(extended) => Ok(extended.expires_at),
            Err(error) if is_definite(&error) => Err(Box::new(Report::failed(&error, Refusal::Gone))),
            Err(error) => {
                // There is time to ask again; if there is not, the confirmation finds out.
                tracing::warn!(%error, "a reservation could not be extended");
                Ok(None)
            }
        }
    }

    async fn authorize(&self) -> Result<Report, SagaError> {
        let payload = &self.saga.payload;
        let kept = if payload.waiting || payload.payment_method.is_none() {
            match self.keep_units().await {
                Ok(until) => until,
                Err(gone) => return Ok(*gone),
            }
        } else {
            None
        };
        let report = match payload.payment_method.as_deref() {
            Some(method) => self.ask_payment(method).await,
            None if payload.pays_later => self.await_payment().await,
            None => return Err(SagaError::Missing("payment method")),
        };
        Ok(Report {
            reserved_until: kept,
            ..report
        })
    }

    /// The customer pays at the provider, or names a method here. While that takes its time nothing is lost by
    /// payment or the provider being away: they are asked again.
    async fn await_payment(&self) -> Report {
        let (payment, order) = (&self.clients.payment, self.order);
        let asked = match order.payment {
            Some(_) => payment.of_order(order.id).await.transpose(),
            None => None,
        };
        let asked = match asked {
            Some(asked) => asked,
            None => {
                payment
                    .authorize(order.id, order.customer_id, order.total, None)
                    .await
            }
        };
        match asked {
            Ok(view) => authorization(&view),
            Err(error) if is_definite(&error) => Report::failed(&error, Refusal::Other),
            Err(error) => Report {
                detail: Some(error.to_string()),
                ..Report::of(Outcome::Waiting)
            },
        }
    }

    async fn ask_payment(&self, method: &str) -> Report {
        let payment = &self.clients.payment;
        let order = self.order;
        // A payment that waits for its customer is asked for; authorizing it again would be answered with
        // the first answer.
        if self.saga.payload.waiting {
            match payment.of_order(order.id).await {
                Ok(Some(view)) => return authorization(&view),
                Ok(None) => {}
                Err(error) => return Report::failed(&error, Refusal::Other),
            }
        }
        let answer = payment
            .authorize(order.id, order.customer_id, order.total, Some(method))
            .await;
        match answer {
            Ok(view) => authorization(&view),
            Err(error) if error.status() == Some(402) => Report {
                payment: declined_payment(&error),
                ..Report::failed(&error, Refusal::Declined)
            },
            Err(error) => Report::failed(&error, Refusal::Other),
        }
    }

    async fn confirm(&self) -> Result<Report, SagaError> {
        let reservation = self.reservation_id().ok_or(SagaError::Missing("reservation"))?;
        Ok(
            match self.clients.inventory.confirm(self.order.id, reservation).await {
                Ok(confirmed) if confirmed.status == ReservationStatus::Released => {
                    Report::of(Outcome::Refused(Refusal::Gone))
                }
                Ok(_) => Report::of(Outcome::Done),
                Err(error) => Report::failed(&error, Refusal::Gone),
            },
        )
    }

    async fn deduct(&self) -> Result<Report, SagaError> {
        let reservation = self.reservation_id().ok_or(SagaError::Missing("reservation"))?;
        Ok(
            match self.clients.inventory.deduct(self.order.id, reservation).await {
                Ok(_) => Report::of(Outcome::Done),
                Err(error) => match error.code() {
                    Some("RESERVATION_ALREADY_DEDUCTED") => Report::of(Outcome::Done),
                    Some(
                        "INVALID_STOCK_STATE"
                        | "RESERVATION_NOT_FOUND"
                        | "RESERVATION_ALREADY_RELEASED"
                        | "INSUFFICIENT_STOCK",
                    ) => Report::failed(&error, Refusal::Gone),
                    _ => Report::failed(&error, Refusal::Other),
                },
            },
        )
    }

    /// Releases what the order has. One that may or may not have a reservation then never gets one: inventory
    /// remembers that the order is over.
    async fn release(&self) -> Report {
        let why = release_reason(self.saga.reason);
        match self.clients.inventory.release(self.order.id, why).await {
            Ok(released) if released.items.is_empty() => Report::of(Outcome::Done),
            Ok(released) => Report::reserved(&released),
            Err(error) => match error.code() {
                Some("RESERVATION_ALREADY_RELEASED" | "RESERVATION_NOT_FOUND") => {
                    Report::failed(&error, Refusal::Gone)
                }
                _ => Report::failed(&error, Refusal::Other),
            },
        }
    }

    /// A part or all that is left. The refund's own key makes it happen once, however often it is asked.
    async fn refund(&self) -> Report {
        let Some(terms) = &self.saga.payload.refund else {
            return self.payment("refund", PaymentStatus::Refunded).await;
        };
        let amount = (!terms.whole).then_some(terms.amount);
        let payment = &self.clients.payment;
        match payment.refund(self.order.id, self.saga.id, amount).await {
            Ok(view) => {
                let outcome = match view.status {
                    PaymentStatus::Refunded => Outcome::Done,
                    PaymentStatus::Captured if !terms.whole => Outcome::Done,
                    PaymentStatus::Pending => Outcome::Unknown,
                    _ => Outcome::Refused(Refusal::Other),
                };
                Report {
                    payment: view.fact(),
                    detail: Some(format!("the payment is {}", view.status)),
                    ..Report::of(outcome)
                }
            }
            Err(error) => Report::failed(&error, Refusal::Other),
        }
    }

    /// Capture, void or a refund of old; done when the payment has come to `wanted`.
    async fn payment(&self, verb: &str, wanted: PaymentStatus) -> Report {
        match self.clients.payment.change(verb, self.order.id).await {
            Ok(view) => {
                let outcome = match view.status {
                    status if status == wanted => Outcome::Done,
                    // There is nothing to void of what never was.
                    PaymentStatus::Declined | PaymentStatus::Failed if wanted == PaymentStatus::Voided => {
                        Outcome::Done
                    }
                    PaymentStatus::Pending => Outcome::Unknown,
                    _ => Outcome::Refused(Refusal::Other),
                };
                let detail = Some(format!("the payment is {}", view.status));
                Report {
                    payment: view.fact(),
                    detail,
                    ..Report::of(outcome)
                }
            }
            Err(error) => Report::failed(&error, Refusal::Other),
        }
    }
}

fn authorization(view: &PaymentView) -> Report {
    let outcome = match view.status {
        PaymentStatus::Authorized | PaymentStatus::Captured => Outcome::Done,
        PaymentStatus::Pending | PaymentStatus::RequiresAction => Outcome::Waiting,
        PaymentStatus::Declined | PaymentStatus::Failed => Outcome::Refused(Refusal::Declined),
        PaymentStatus::Voided | PaymentStatus::Refunded => Outcome::Refused(Refusal::Other),
    };
    let detail = Some(format!("the payment is {}", view.status));
    Report {
        payment: view.fact(),
        detail,
        ..Report::of(outcome)
    }
}

/// A decline may name the payment that was declined.
fn declined_payment(error: &CallError) -> Option<PaymentFact> {
    let CallError::Refused { problem, .. } = error else {
        return None;
    };
    let payment_id = problem.extra.get("payment_id")?.as_str()?.parse().ok()?;
    Some(PaymentFact {
        payment_id,
        status: PaymentStatus::Declined,
        refunded_minor: 0,
    })
}

/// In inventory's words.
const fn release_reason(reason: Option<CancelReason>) -> &'static str {
    match reason {
        Some(CancelReason::PaymentDeclined | CancelReason::PaymentFailed | CancelReason::PaymentTimeout) => {
            "PAYMENT_FAILED"
        }
        _ => "CANCELLED",
    }
}
