//! Double entry: every step that moves money, or a promise of it, takes from one account what it
//! gives to another.

use super::catch_up::Step;

/// A positive amount is a debit, a negative one a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// Money held on customers' cards for us.
    Held,
    /// The counterpart: what we promised to take or to let go.
    HeldForCustomer,
    /// Money that the provider owes us.
    ProviderReceivable,
    /// Money that customers have paid.
    CustomerPayments,
}

impl Account {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::HeldForCustomer => "HELD_FOR_CUSTOMER",
            Self::ProviderReceivable => "PROVIDER_RECEIVABLE",
            Self::CustomerPayments => "CUSTOMER_PAYMENTS",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostingKind {
    Authorize,
    Capture,
    Refund,
    Void,
}

impl PostingKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "AUTHORIZE",
            Self::Capture => "CAPTURE",
            Self::Refund => "REFUND",
            Self::Void => "VOID",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub account: Account,
    pub amount_minor: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub kind: PostingKind,
    pub entries: Vec<Entry>,
}

impl Posting {
    /// What the step writes into the books of a payment over `amount_minor`; nothing when no money and
    /// no promise moves.
    pub fn of(step: &Step, amount_minor: i64) -> Option<Self> {
        let held = |minor: i64| {
            [
                entry(Account::Held, minor),
                entry(Account::HeldForCustomer, -minor),
            ]
        };
        let paid = |minor: i64| {
            [
                entry(Account::ProviderReceivable, minor),
                entry(Account::CustomerPayments, -minor),
            ]
        };
        let (kind, entries) = match step {
            Step::Authorized { .. } => (PostingKind::Authorize, held(amount_minor).to_vec()),
            // The rest of the authorization is let go with a capture.
            Step::Captured { minor } => (PostingKind::Capture, [held(-amount_minor), paid(*minor)].concat()),
            Step::Refunded { minor } => (PostingKind::Refund, paid(-minor).to_vec()),
            Step::Voided {
                was_authorized: true, ..
            } => (PostingKind::Void, held(-amount_minor).to_vec()),
            Step::Voided {
                was_authorized: false,
                ..
            }
            | Step::RequiresAction { .. }
            | Step::Declined { .. }
            | Step::Failed { .. } => return None,
        };
        Some(Self { kind, entries })
    }
}

const fn entry(account: Account, amount_minor: i64) -> Entry {
    Entry {
        account,
        amount_minor,
    }
}
