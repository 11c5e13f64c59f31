use std::fmt;

use ferrocart_types::{Money, OrderId, PaymentId, Timestamp, UserId};

use super::state::{State, Status};
use super::token::MethodToken;

/// The provider's id of what it holds for us, such as `pi_3MtwBw…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IntentId(pub String);

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a payment was opened for; it never changes, but that a method may be named later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub order_id: OrderId,
    pub customer_id: UserId,
    pub amount: Money,
    /// `None` when the customer chooses it, at the provider. Then a decline ends nothing: another card may be
    /// taken, until the order is given up.
    pub method: Option<MethodToken>,
}

impl Terms {
    /// Whether `asked` is the same payment; either may leave the method open.
    pub fn fit(&self, asked: &Self) -> bool {
        let methods = self.method.is_none() || asked.method.is_none() || self.method == asked.method;
        methods
            && (self.order_id, self.customer_id, self.amount)
                == (asked.order_id, asked.customer_id, asked.amount)
    }
}

/// The one payment of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub terms: Terms,
    pub intent: Option<IntentId>,
    pub state: State,
    /// The order was given up: what is held must be let go as soon as it is known.
    pub void_requested: bool,
    /// Declined, and its intent can be confirmed no more.
    pub let_go: bool,
    /// Counts the payment's events from 1, without gaps.
    pub sequence: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Payment {
    pub fn open(id: PaymentId, terms: Terms, at: Timestamp) -> Self {
        Self {
            id,
            terms,
            intent: None,
            state: State::Pending,
            void_requested: false,
            let_go: false,
            sequence: 0,
            created_at: at,
            updated_at: at,
        }
    }

    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// Whether it waits for the customer, who pays at the provider.
    pub fn waits_for_customer(&self) -> bool {
        match self.status() {
            Status::Pending => self.terms.method.is_none() && self.intent.is_some(),
            status => status == Status::RequiresAction,
        }
    }

    pub fn authorized_minor(&self) -> i64 {
        if self.state.was_authorized() {
            self.terms.amount.amount_minor
        } else {
            0
        }
    }

    /// What can still be refunded.
    pub fn refundable_minor(&self) -> i64 {
        self.state.captured_minor() - self.state.refunded_minor()
    }
}
