//! Payments as the business knows them: no SQL, no HTTP, no time of its own.

mod catch_up;
mod compare;
mod ledger;
mod operation;
mod payment;
mod state;
mod token;
mod told;

pub use catch_up::{Change, Divergence, Seen, Step};
pub use compare::{Books, Comparison, DifferenceKind};
pub use ledger::{Account, Entry, Posting, PostingKind};
pub use operation::{OpenOperation, OperationKind, OperationState, UnknownName};
pub use payment::{IntentId, Payment, Terms};
pub use state::{State, Status, TransitionError, UnknownStatus};
pub use token::{InvalidToken, MethodToken};
pub use told::{InHand, Told};

#[cfg(test)]
mod state_tests;
