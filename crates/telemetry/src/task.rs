use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

/// Spawns a task that keeps the current span, so that its log lines carry the same trace id.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(task = name, "spawned");
    tokio::spawn(future.in_current_span())
}
