use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tracing::Instrument;

use super::ProviderError;
use super::breaker::{Breaker, BreakerSettings};

/// What stands between this service and the provider: at most so many calls at once, none while the
/// provider does not answer.
#[derive(Debug)]
pub(super) struct Guard {
    breaker: Breaker,
    slots: Semaphore,
    queue_timeout: Duration,
    call_timeout: Duration,
}

/// What became of a call, as far as the breaker is concerned.
pub(super) enum Heard<T> {
    Answer(T),
    /// Timed out, cut off or not connected.
    Nothing(ProviderError),
}

impl Guard {
    pub(super) fn new(
        breaker: BreakerSettings,
        concurrency_max: usize,
        queue_timeout: Duration,
        call_timeout: Duration,
    ) -> Self {
        Self {
            breaker: Breaker::new(breaker),
            slots: Semaphore::new(concurrency_max),
            queue_timeout,
            call_timeout,
        }
    }

    pub(super) fn closed_for(&self) -> Option<Duration> {
        self.breaker.closed_for(Instant::now())
    }

    pub(super) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Heard<T>>,
    ) -> Result<T, ProviderError> {
        let not_sent = |reason: &str, retry_after| {
            metrics::counter!("psp_requests_total", "operation" => operation, "outcome" => "not_sent")
                .increment(1);
            ProviderError::NotSent {
                reason: reason.to_owned(),
                retry_after,
            }
        };
        // Nobody waits for a place in front of a closed door.
        if let Some(wait) = self.closed_for() {
            return Err(not_sent("the breaker is open", wait));
        }
        let slot = tokio::time::timeout(self.queue_timeout, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else {
            return Err(not_sent("too many calls are under way", Duration::from_secs(1)));
        };
        self.breaker
            .admit(Instant::now(), self.call_timeout)
            .map_err(|wait| not_sent("the breaker is open", wait))?;
        let started = Instant::now();
        let span = tracing::info_span!("psp.call", otel.kind = "client", psp.operation = operation);
        let heard = call.instrument(span).await;
        metrics::histogram!("psp_request_duration_seconds", "operation" => operation)
            .record(started.elapsed());
        match heard {
            Heard::Answer(answer) => {
                self.breaker.answered();
                metrics::counter!("psp_requests_total", "operation" => operation, "outcome" => "answered")
                    .increment(1);
                Ok(answer)
            }
            Heard::Nothing(error) => {
                self.breaker.no_answer(Instant::now());
                metrics::counter!("psp_requests_total", "operation" => operation, "outcome" => "no_answer")
                    .increment(1);
                Err(error)
            }
        }
    }
}
