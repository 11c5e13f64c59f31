//! Checks the platform's promises I1 to I4 and I6 against what every store, every topic and the payment
//! provider's books say. It only reads.
//!
//! The stores are read as of one moment each (a read-only transaction), in the order of their ids, and joined
//! as they stream by; what has no such order (topics, the provider) is sorted on disk first. So memory is
//! bounded however much there is.
//!
//! The stores' moments differ by a little. What changed within the last [`Options::grace`] is therefore not
//! judged across stores but counted as too recent, and a suspicion is looked at again before it is
//! reported: what has moved in between is too recent as well.

mod audit;
mod check;
mod finding;
mod investigate;
mod read;
mod sort;
mod target;

pub use audit::{Options, Report, audit};
pub use finding::{Finding, Promise, Silent, Subject, Violation, Watcher};
pub use target::{KafkaTarget, Provider, Target};
