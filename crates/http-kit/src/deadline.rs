//! How much time a request has left. The gateway says it in a header, in milliseconds rather than as a time of day,
//! so that clocks do not matter; whoever serves the request hands on what is left of it.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use tokio::time::Instant;

use crate::problem::Problem;

/// The time that is left, in milliseconds.
pub const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// What is left for the request that this task serves; `None` where nobody set a time. What goes on after the answer,
/// in a task of its own, has no deadline from its request.
pub fn time_left() -> Option<Duration> {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .ok()
}

/// The end of the time that the caller states. What is no number counts as nothing said.
pub(crate) fn deadline_of(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get(TIMEOUT_HEADER)?.to_str().ok()?;
    let timeout_ms: u32 = text.trim().parse().ok()?;
    Some(Instant::now() + Duration::from_millis(timeout_ms.into()))
}

/// Serves a request until its deadline. What cannot be answered in time is not begun, and what was not answered in time
/// is dropped, as when its client hangs up.
pub(crate) async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Problem> {
    if deadline <= Instant::now() {
        return Err(exceeded("no time is left to answer this request"));
    }
    tokio::time::timeout_at(deadline, DEADLINE.scope(deadline, work))
        .await
        .map_err(|_| exceeded("there was no answer in the time that the caller gave"))
}

fn exceeded(detail: &str) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", detail).retryable()
}
