use ferrocart_types::{
    Email, Money, MoneyError, OrderId, ProductId, Quantity, ReservationId, SkuId, Timestamp, UserId,
};

use super::{
    CancelReason, CartId, InvalidTransition, PaymentFact, PaymentStatus, Refund, ShippingAddress, Status,
};

/// One line with the price at which it is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sku_id: SkuId,
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: Quantity,
    pub(crate) unit_price: Money,
}

impl Line {
    pub(crate) fn total(&self) -> Result<Money, MoneyError> {
        self.unit_price.checked_mul(self.quantity.as_u32())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryEntry {
    pub(crate) status: Status,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<String>,
    /// The money that went back; a part of it leaves the status as it is.
    pub(crate) refunded: Option<Money>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shipment {
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
}

/// The status with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Placed,
    PaymentPending {
        reservation_id: ReservationId,
    },
    Confirmed {
        reservation_id: ReservationId,
    },
    Shipped {
        reservation_id: ReservationId,
        shipment: Shipment,
    },
    Delivered {
        reservation_id: ReservationId,
        shipment: Shipment,
    },
    Refunded {
        reservation_id: ReservationId,
        shipment: Shipment,
    },
    /// The reservation that was released, if there was one.
    Cancelled {
        reservation_id: Option<ReservationId>,
        reason: CancelReason,
    },
}

impl State {
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Placed => Status::Placed,
            Self::PaymentPending { .. } => Status::PaymentPending,
            Self::Confirmed { .. } => Status::Confirmed,
            Self::Shipped { .. } => Status::Shipped,
            Self::Delivered { .. } => Status::Delivered,
            Self::Refunded { .. } => Status::Refunded,
            Self::Cancelled { .. } => Status::Cancelled,
        }
    }

    const fn reservation_id(&self) -> Option<ReservationId> {
        match self {
            Self::Placed => None,
            Self::PaymentPending { reservation_id }
            | Self::Confirmed { reservation_id }
            | Self::Shipped { reservation_id, .. }
            | Self::Delivered { reservation_id, .. }
            | Self::Refunded { reservation_id, .. } => Some(*reservation_id),
            Self::Cancelled { reservation_id, .. } => *reservation_id,
        }
    }
}

/// What an order is made of when it is placed.
#[derive(Debug, Clone)]
pub(crate) struct OrderParts {
    pub(crate) id: OrderId,
    pub(crate) customer_id: UserId,
    pub(crate) guest: bool,
    pub(crate) email: Email,
    /// `None` for an order from a hold.
    pub(crate) cart_id: Option<CartId>,
    pub(crate) lines: Vec<Line>,
    pub(crate) address: ShippingAddress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) customer_id: UserId,
    pub(crate) guest: bool,
    pub(crate) email: Email,
    pub(crate) cart_id: Option<CartId>,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
    pub(crate) address: ShippingAddress,
    pub(crate) state: State,
    /// What payment said last.
    pub(crate) payment: Option<PaymentFact>,
    /// Oldest first; its length is the order's sequence.
    pub(crate) history: Vec<HistoryEntry>,
    /// Oldest first.
    pub(crate) refunds: Vec<Refund>,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("an order needs at least one line")]
    Empty,
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Order {
    pub(crate) fn place(parts: OrderParts, at: Timestamp) -> Result<Self, PlaceError> {
        let totals = parts
            .lines
            .iter()
            .map(Line::total)
            .collect::<Result<Vec<_>, _>>()?;
        let total = Money::sum(totals)?.ok_or(PlaceError::Empty)?;
        Ok(Self {
            id: parts.id,
            customer_id: parts.customer_id,
            guest: parts.guest,
            email: parts.email,
            cart_id: parts.cart_id,
            lines: parts.lines,
            total,
            address: parts.address,
            state: State::Placed,
            payment: None,
            history: vec![HistoryEntry {
                status: Status::Placed,
                at,
                reason: None,
                refunded: None,
            }],
            refunds: Vec::new(),
            version: 1,
            created_at: at,
            updated_at: at,
        })
    }

    pub(crate) const fn status(&self) -> Status {
        self.state.status()
    }

    /// Counts the order's events from 1.
    pub(crate) fn sequence(&self) -> i64 {
        i64::try_from(self.history.len()).unwrap_or(i64::MAX)
    }

    pub(crate) const fn reservation_id(&self) -> Option<ReservationId> {
        self.state.reservation_id()
    }

    pub(crate) const fn cancel_reason(&self) -> Option<CancelReason> {
        match &self.state {
            State::Cancelled { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    pub(crate) const fn shipment(&self) -> Option<&Shipment> {
        match &self.state {
            State::Shipped { shipment, .. }
            | State::Delivered { shipment, .. }
            | State::Refunded { shipment, .. } => Some(shipment),
            _ => None,
        }
    }

    /// Takes note of what payment said; old news change nothing.
    #[must_use]
    pub(crate) fn with_payment(mut self, news: PaymentFact) -> Self {
        self.payment = Some(PaymentFact::after(self.payment, news));
        self
    }

    pub(crate) fn payment_pending(
        self,
        reservation_id: ReservationId,
        at: Timestamp,
    ) -> Result<Self, InvalidTransition> {
        self.moved(State::PaymentPending { reservation_id }, None, at)
    }

    /// Needs an authorized payment: there is no CONFIRMED order without one.
    pub(crate) fn confirm(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        let refused = InvalidTransition {
            from: self.status(),
            to: Status::Confirmed,
        };
        match (&self.state, self.payment.map(|payment| payment.status)) {
            (
                State::PaymentPending { reservation_id },
                Some(PaymentStatus::Authorized | PaymentStatus::Captured),
            ) => {
                let reservation_id = *reservation_id;
                self.moved(State::Confirmed { reservation_id }, None, at)
            }
            _ => Err(refused),
        }
    }

    pub(crate) fn ship(self, shipment: Shipment, at: Timestamp) -> Result<Self, InvalidTransition> {
        match self.reservation_id() {
            Some(reservation_id) => self.moved(
                State::Shipped {
                    reservation_id,
                    shipment,
                },
                None,
                at,
            ),
            None => Err(InvalidTransition {
                from: self.status(),
                to: Status::Shipped,
            }),
        }
    }

    pub(crate) fn deliver(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        match &self.state {
            State::Shipped {
                reservation_id,
                shipment,
            } => {
                let next = State::Delivered {
                    reservation_id: *reservation_id,
                    shipment: shipment.clone(),
                };
                self.moved(next, None, at)
            }
            _ => Err(InvalidTransition {
                from: self.status(),
                to: Status::Delivered,
            }),
        }
    }

    /// What went back to the customer in all.
    pub(crate) fn refunded(&self) -> Money {
        let refunded_minor = self.payment.map_or(0, |payment| payment.refunded_minor);
        Money::new(refunded_minor, self.total.currency)
    }

    /// What can still go back.
    pub(crate) fn refundable(&self) -> Result<Money, MoneyError> {
        self.total.checked_sub(self.refunded())
    }

    /// Takes note of money that went back. The last part of it makes the order REFUNDED.
    pub(crate) fn refund(mut self, refund: Refund, at: Timestamp) -> Result<Self, InvalidTransition> {
        let State::Delivered {
            reservation_id,
            shipment,
        } = &self.state
        else {
            return Err(InvalidTransition {
                from: self.status(),
                to: Status::Refunded,
            });
        };
        let next = State::Refunded {
            reservation_id: *reservation_id,
            shipment: shipment.clone(),
        };
        let amount = (refund.amount.amount_minor > 0).then_some(refund.amount);
        let all_went_back = self
            .payment
            .is_some_and(|payment| payment.status == PaymentStatus::Refunded);
        if all_went_back {
            self = self.moved(next, refund.reason.clone(), at)?;
            if let Some(entry) = self.history.last_mut() {
                entry.refunded = amount;
            }
        } else {
            self.history.push(HistoryEntry {
                status: self.status(),
                at,
                reason: refund.reason.clone(),
                refunded: amount,
            });
            self.updated_at = at;
        }
        // What had gone back at the provider's own desk is no refund of ours.
        if amount.is_some() {
            self.refunds.push(refund);
        }
        Ok(self)
    }

    /// `released` is the reservation that was undone, where the order did not know it yet.
    pub(crate) fn cancel(
        self,
        reason: CancelReason,
        released: Option<ReservationId>,
        at: Timestamp,
    ) -> Result<Self, InvalidTransition> {
        let reservation_id = self.reservation_id().or(released);
        self.moved(
            State::Cancelled {
                reservation_id,
                reason,
            },
            Some(reason.as_str().to_owned()),
            at,
        )
    }

    fn moved(
        mut self,
        next: State,
        reason: Option<String>,
        at: Timestamp,
    ) -> Result<Self, InvalidTransition> {
        let (from, to) = (self.status(), next.status());
        if !from.may_become(to) {
            return Err(InvalidTransition { from, to });
        }
        self.history.push(HistoryEntry {
            status: to,
            at,
            reason,
            refunded: None,
        });
        self.state = next;
        self.updated_at = at;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{Currency, PaymentId, SagaId};
    use uuid::Uuid;

    use super::super::{RefundError, RefundRequest, RefundedItem};
    use super::*;

    const AT: Timestamp = chrono::DateTime::UNIX_EPOCH;

    fn line(amount_minor: i64, currency: Currency, quantity: i64) -> Line {
        Line {
            sku_id: SkuId(Uuid::from_u128(1)),
            product_id: ProductId(Uuid::from_u128(2)),
            sku: "SHOE-42".into(),
            title: "Shoe".into(),
            quantity: Quantity::new(quantity).unwrap(),
            unit_price: Money::new(amount_minor, currency),
        }
    }

    fn place(lines: Vec<Line>) -> Result<Order, PlaceError> {
        let customer_id = UserId(Uuid::from_u128(3));
        let parts = OrderParts {
            id: OrderId(Uuid::from_u128(4)),
            customer_id,
            guest: false,
            email: Email::parse("ada@example.com").unwrap(),
            cart_id: Some(CartId::User(customer_id)),
            lines,
            address: ShippingAddress {
                name: "Ada".into(),
                line1: "1".into(),
                line2: None,
                city: "London".into(),
                region: None,
                postal_code: "1".into(),
                country: "GB".into(),
            },
        };
        Order::place(parts, AT)
    }

    fn at(status: Status) -> Order {
        let mut order = place(vec![line(100, Currency::USD, 1)]).unwrap();
        let reservation_id = ReservationId(Uuid::from_u128(5));
        order = order.with_payment(PaymentFact {
            payment_id: PaymentId(Uuid::from_u128(6)),
            status: PaymentStatus::Authorized,
            refunded_minor: 0,
        });
        order.state = match status {
            Status::Placed => State::Placed,
            Status::PaymentPending => State::PaymentPending { reservation_id },
            Status::Confirmed => State::Confirmed { reservation_id },
            Status::Shipped => State::Shipped {
                reservation_id,
                shipment: Shipment::default(),
            },
            Status::Delivered => State::Delivered {
                reservation_id,
                shipment: Shipment::default(),
            },
            Status::Refunded => State::Refunded {
                reservation_id,
                shipment: Shipment::default(),
            },
            Status::Cancelled => State::Cancelled {
                reservation_id: None,
                reason: CancelReason::CustomerRequest,
            },
        };
        order
    }

    #[test]
    fn the_moves_obey_the_table_from_every_status() {
        let reservation = ReservationId(Uuid::from_u128(5));
        for from in Status::ALL {
            let tries = [
                (Status::PaymentPending, at(*from).payment_pending(reservation, AT)),
                (Status::Confirmed, at(*from).confirm(AT)),
                (Status::Shipped, at(*from).ship(Shipment::default(), AT)),
                (Status::Delivered, at(*from).deliver(AT)),
                (
                    Status::Refunded,
                    paid_back(at(*from), 100).refund(refund(100, &[]), AT),
                ),
                (
                    Status::Cancelled,
                    at(*from).cancel(CancelReason::CustomerRequest, None, AT),
                ),
            ];
            for (to, outcome) in tries {
                match outcome {
                    Ok(order) => {
                        assert!(from.may_become(to), "{from} became {to}");
                        assert_eq!(order.status(), to);
                        assert_eq!(order.sequence(), 2);
                    }
                    Err(refused) => {
                        assert!(!from.may_become(to), "{from} did not become {to}");
                        assert_eq!(refused, InvalidTransition { from: *from, to });
                    }
                }
            }
        }
    }

    /// As payment tells it.
    fn paid_back(order: Order, refunded_minor: i64) -> Order {
        let status = if refunded_minor == order.total.amount_minor {
            PaymentStatus::Refunded
        } else {
            PaymentStatus::Captured
        };
        let payment_id = PaymentId(Uuid::from_u128(6));
        order.with_payment(PaymentFact {
            payment_id,
            status,
            refunded_minor,
        })
    }

    fn item(sku: u128, quantity: i64) -> RefundedItem {
        RefundedItem {
            sku_id: SkuId(Uuid::from_u128(sku)),
            quantity: Quantity::new(quantity).unwrap(),
        }
    }

    fn refund(amount_minor: i64, items: &[RefundedItem]) -> Refund {
        Refund {
            id: SagaId(Uuid::from_u128(9)),
            amount: Money::new(amount_minor, Currency::USD),
            items: items.to_vec(),
            reason: None,
            by: "support".into(),
            at: AT,
        }
    }

    #[test]
    fn parts_go_back_until_nothing_is_left() {
        let order = paid_back(at(Status::Delivered), 30)
            .refund(refund(30, &[]), AT)
            .unwrap();
        assert_eq!((order.status(), order.sequence()), (Status::Delivered, 2));
        assert_eq!(order.history[1].refunded, Some(Money::new(30, Currency::USD)));
        assert_eq!(order.refundable(), Ok(Money::new(70, Currency::USD)));
        let order = paid_back(order, 100).refund(refund(70, &[]), AT).unwrap();
        assert_eq!((order.status(), order.sequence()), (Status::Refunded, 3));
        assert_eq!(order.refunds.len(), 2);
        assert_eq!(order.refundable(), Ok(Money::new(0, Currency::USD)));
        assert!(order.refund(refund(1, &[]), AT).is_err());
    }

    #[test]
    fn what_is_asked_for_is_what_can_go_back() {
        let mut order = place(vec![line(1_000, Currency::USD, 3)]).unwrap();
        let ask = |order: &Order, minor: Option<i64>, items: &[RefundedItem]| {
            let request = RefundRequest {
                amount: minor.map(|minor| Money::new(minor, Currency::USD)),
                items: items.to_vec(),
            };
            request.terms(order, "support".into())
        };
        let usd = |minor| Money::new(minor, Currency::USD);
        assert!(ask(&order, None, &[]).unwrap().whole);
        assert_eq!(ask(&order, None, &[]).unwrap().amount, usd(3_000));
        assert_eq!(ask(&order, Some(1), &[]).unwrap().amount, usd(1));
        assert_eq!(ask(&order, None, &[item(1, 2)]).unwrap().amount, usd(2_000));
        assert_eq!(
            ask(&order, Some(1_500), &[item(1, 2)]).unwrap().amount,
            usd(1_500)
        );
        assert_eq!(
            ask(&order, Some(3_001), &[]),
            Err(RefundError::TooMuch { left: usd(3_000) })
        );
        assert_eq!(
            ask(&order, Some(2_001), &[item(1, 2)]),
            Err(RefundError::MoreThanItems(usd(2_000)))
        );
        assert_eq!(
            ask(&order, None, &[item(1, 1), item(2, 1)]),
            Err(RefundError::UnknownItem(1))
        );
        assert_eq!(
            ask(&order, None, &[item(1, 2), item(1, 2)]),
            Err(RefundError::TooManyUnits { index: 1, left: 1 })
        );
        let euros = RefundRequest {
            amount: Some(Money::new(1, Currency::EUR)),
            items: Vec::new(),
        };
        assert_eq!(
            euros.terms(&order, String::new()),
            Err(RefundError::OtherCurrency)
        );
        order = paid_back(order, 2_500);
        order.refunds = vec![refund(2_000, &[item(1, 2)]), refund(500, &[])];
        assert_eq!(ask(&order, None, &[]).unwrap().amount, usd(500));
        assert_eq!(
            ask(&order, None, &[item(1, 1)]),
            Err(RefundError::TooMuch { left: usd(500) }),
            "a part of its price went back already"
        );
        assert_eq!(ask(&order, Some(500), &[item(1, 1)]).unwrap().amount, usd(500));
        assert_eq!(
            ask(&order, Some(1), &[item(1, 2)]),
            Err(RefundError::TooManyUnits { index: 0, left: 1 })
        );
    }

    #[test]
    fn there_is_no_confirmed_order_without_a_payment() {
        let mut order = at(Status::PaymentPending);
        for payment in [
            None,
            Some(PaymentStatus::Pending),
            Some(PaymentStatus::Voided),
            Some(PaymentStatus::Declined),
        ] {
            order.payment = payment.map(|status| PaymentFact {
                payment_id: PaymentId(Uuid::nil()),
                status,
                refunded_minor: 0,
            });
            assert!(order.clone().confirm(AT).is_err(), "{payment:?}");
        }
    }

    #[test]
    fn totals_are_exact_or_refused() {
        let order = place(vec![
            line(1_999, Currency::USD, 3),
            line(1, Currency::USD, 10_000),
        ])
        .unwrap();
        assert_eq!(order.total, Money::new(15_997, Currency::USD));
        assert_eq!(place(vec![]), Err(PlaceError::Empty));
        assert_eq!(
            place(vec![line(i64::MAX, Currency::USD, 2)]),
            Err(MoneyError::Overflow.into())
        );
        assert!(place(vec![line(1, Currency::USD, 1), line(1, Currency::EUR, 1)]).is_err());
    }
}
