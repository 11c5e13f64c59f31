//! What the auditor finds, and how it tells of it.

use std::fmt;

use uuid::Uuid;

/// The promises that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    NoOversell,
    ChargeAndOrder,
    OnePayment,
    Events,
    FinalState,
}

impl Promise {
    pub const ALL: [Self; 5] = [
        Self::NoOversell,
        Self::ChargeAndOrder,
        Self::OnePayment,
        Self::Events,
        Self::FinalState,
    ];

    /// Its name in the design.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoOversell => "I1",
            Self::ChargeAndOrder => "I2",
            Self::OnePayment => "I3",
            Self::Events => "I4",
            Self::FinalState => "I6",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What a violation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Order(Uuid),
    Sku(Uuid),
    Product(Uuid),
    /// An object at the payment provider that names no order.
    Intent(String),
    /// The outbox of a database.
    Outbox(&'static str),
    Topic(&'static str),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(id) => write!(f, "order {id}"),
            Self::Sku(id) => write!(f, "SKU {id}"),
            Self::Product(id) => write!(f, "product {id}"),
            Self::Intent(id) => write!(f, "payment intent {id}"),
            Self::Outbox(database) => write!(f, "outbox of {database}"),
            Self::Topic(name) => write!(f, "topic {name}"),
        }
    }
}

/// One promise, broken for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    /// Stable, for machines: such as `ORDER_NOT_PAID`.
    pub kind: &'static str,
    pub subject: Subject,
    /// With the ids and figures concerned.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}: {}",
            self.promise, self.kind, self.subject, self.detail
        )
    }
}

/// A violation that was looked at again, with what the stores tell of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub violation: Violation,
    /// Line by line, in order of time within each store.
    pub history: Vec<String>,
}

/// Told how it goes.
pub trait Watcher: Send {
    /// A check begins.
    fn begin(&mut self, what: &str);
    /// So many were read; called often.
    fn progress(&mut self, done: u64);
    /// A check ended.
    fn end(&mut self, what: &str, done: u64, violations: u64);
    fn found(&mut self, finding: &Finding);
}

/// For those who read the report alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Watcher for Silent {
    fn begin(&mut self, _: &str) {}
    fn progress(&mut self, _: u64) {}
    fn end(&mut self, _: &str, _: u64, _: u64) {}
    fn found(&mut self, _: &Finding) {}
}
