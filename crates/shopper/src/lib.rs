//! An outside client of the shop. It knows the documented API and nothing of the project's code: it
//! registers, searches, buys, is refused what it must be refused, and fails with the full answer as
//! soon as one expectation is not met.

mod accounts;
mod api;
#[cfg(test)]
mod canned;
mod dto;
mod mail;
mod receiver;
mod report;
mod screen;
mod script;
mod shop;
mod sse;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

pub use accounts::{Account, Accounts, Role};
pub use api::{Answer, Call};
pub use report::{Chapter, Failure, Report, Reporter, Silent, Step, StepReport, Unmet};
pub use screen::{Screen, format_duration};
pub use script::run;

pub const STEP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
pub const QUERY_DEFAULT: &str = "waterproof trail running shoe";

#[derive(Debug, Clone)]
pub struct Options {
    /// Where the gateway listens, without `/v1`.
    pub gateway_url: String,
    pub accounts: Accounts,
    /// The payment provider's API, which the buyer's browser speaks to.
    pub provider_url: String,
    /// Where the notification service leaves its e-mails.
    pub mail_dir: PathBuf,
    /// The longest that one request or one wait within a step may take.
    pub step_timeout: Duration,
    /// What to search for; it must find something in stock.
    pub query: String,
}
