//! Driving sagas: one step after the other, each recorded before it is tried and after its outcome is
//! known, by one driver at a time.
//!
//! The record of a step's outcome, what the order becomes by it, its event, and the record that the next
//! step begins are one transaction, fenced: a driver that has lost its lease writes nothing. A call that
//! such a driver still has under way does no harm, because calls are idempotent on keys of the order and
//! what was undone refuses to be done again.

mod answer;
mod driver;
mod endings;
mod perform;
mod record;
mod sites;

use ferrocart_failpoint::Fault;
use ferrocart_pg_kit::StoreError;
use ferrocart_types::MoneyError;

use crate::domain::InvalidTransition;

pub(crate) use driver::{Driver, DriverParts};
pub(crate) use endings::Endings;
pub(crate) use record::Records;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SagaError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another driver has taken the saga over.
    #[error("the saga is in other hands")]
    Fenced,
    /// A test's failpoint has stopped the driver, as a crash would.
    #[error("stopped by a failpoint")]
    Stopped,
    #[error("the saga and its order contradict each other: {0}")]
    Transition(#[from] InvalidTransition),
    #[error("the saga lacks its {0}")]
    Missing(&'static str),
    #[error("the order's total: {0}")]
    Money(#[from] MoneyError),
    #[error("the answer cannot be written: {0}")]
    Answer(#[from] serde_json::Error),
}

impl From<Fault> for SagaError {
    fn from(fault: Fault) -> Self {
        if fault.is_death {
            Self::Stopped
        } else {
            Self::Store(fault.into())
        }
    }
}

impl From<sqlx::Error> for SagaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
