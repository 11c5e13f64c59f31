//! Places in the services where a test or the chaos program can make something go wrong: an error, a delay
//! beyond the caller's deadline, `kill -9` of the process, or the same step executed twice.
//!
//! ```
//! use ferrocart_failpoint::{Fault, Site, around};
//!
//! # async fn example() -> Result<(), Fault> {
//! around(Site::OrderReserve, || async { Ok::<_, Fault>(()) }).await
//! # }
//! ```
//!
//! A place does nothing until a plan is set there, by [`Failpoints::arm`], by the environment (`FAILPOINTS`) or
//! through the endpoint that http-kit serves when `FAILPOINTS_TOKEN` is set. Release builds have no failpoints
//! at all ([`COMPILED_IN`]): the calls are empty there.

mod plan;
mod registry;
mod site;

pub use plan::{Action, InvalidPlan, Plan};
pub use registry::{Failpoints, Seen, around, reach};
pub use site::{At, Point, Site};

/// Whether this build has failpoints: debug builds, and those with the feature `failpoints`.
pub const COMPILED_IN: bool = cfg!(any(debug_assertions, feature = "failpoints"));

/// What a place that was told to fail fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the failpoint {point} was told to fail")]
pub struct Fault {
    pub point: Point,
    /// The task ends here as if its process had died: nothing is tidied up. For tests within one process.
    pub is_death: bool,
}

/// How the code goes on behind a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Once,
    /// The step is executed twice.
    Twice,
}
