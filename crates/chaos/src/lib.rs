//! Breaks every step of a checkout in every way, on the real platform, and audits what is left.
//!
//! A *case* is one failpoint of one service and one way to fail there: an error, a delay beyond the caller's
//! deadline, `kill -9`, or the step executed twice. For each the fault is set once, a few buyers do what leads
//! there through the gateway, what died is started again, everything must come to its end within 30 seconds,
//! and the auditor must find nothing.
//!
//! Beside them: a storm of checkouts while services die, and many events while the broker, relays and consumers do.

mod buyer;
mod case;
mod client;
mod control;
mod duplicates;
mod events;
mod platform;
mod report;
mod run;
mod scenario;
mod settle;
mod storm;
mod timing;

pub use case::{Case, Kind};
pub use events::{Events, Role, RoleOptions};
pub use report::Report;
pub use run::{Options, Selection, run};
pub use storm::Storm;
pub use timing::Timing;
