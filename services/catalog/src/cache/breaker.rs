use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Remembers for a moment that a store did not answer, so that not every request waits for it anew.
#[derive(Debug)]
pub(super) struct Breaker {
    started: Instant,
    /// Milliseconds after `started` until which the store is left alone.
    open_until_ms: AtomicU64,
    rest: Duration,
}

impl Breaker {
    pub(super) fn new(rest: Duration) -> Self {
        Self {
            started: Instant::now(),
            open_until_ms: AtomicU64::new(0),
            rest,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.now_ms() < self.open_until_ms.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) {
        let rest_ms = u64::try_from(self.rest.as_millis()).unwrap_or(u64::MAX);
        self.open_until_ms
            .store(self.now_ms().saturating_add(rest_ms), Ordering::Relaxed);
    }

    pub(super) fn worked(&self) {
        self.open_until_ms.store(0, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
