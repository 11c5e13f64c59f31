use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

const FAILURES_MAX: u32 = 3;
const OPEN_MS: u64 = 1_000;

/// Stops asking after a few failures in a row; then one request a second tries again, and the others do
/// not wait for it.
#[derive(Debug)]
pub struct Breaker {
    started: Instant,
    failures: AtomicU32,
    /// Milliseconds since `started`; 0 while closed.
    next_try_ms: AtomicU64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            failures: AtomicU32::new(0),
            next_try_ms: AtomicU64::new(0),
        }
    }
}

impl Breaker {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether calls are held back now; unlike [`Self::lets_pass`] it takes nobody's turn to try.
    pub fn is_open(&self) -> bool {
        self.next_try_ms.load(Ordering::Relaxed) != 0
    }

    pub fn lets_pass(&self) -> bool {
        let next_try = self.next_try_ms.load(Ordering::Relaxed);
        if next_try == 0 {
            return true;
        }
        let now = self.now_ms();
        // Whoever moves the time on is the one who tries.
        now >= next_try
            && self
                .next_try_ms
                .compare_exchange(next_try, now + OPEN_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether this closed it.
    pub fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.next_try_ms.load(Ordering::Relaxed) != 0 && self.next_try_ms.swap(0, Ordering::Relaxed) != 0
    }

    /// Whether this opened it.
    pub fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES_MAX {
            return false;
        }
        let until = self.now_ms().saturating_add(OPEN_MS).max(1);
        self.next_try_ms.swap(until, Ordering::Relaxed) == 0
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_with_a_success() {
        let breaker = Breaker::new();
        assert!(!breaker.failed());
        assert!(!breaker.succeeded());
        assert!(!breaker.failed());
        assert!(!breaker.failed());
        assert!(breaker.lets_pass());
        assert!(breaker.failed(), "the third in a row opens it");
        assert!(!breaker.lets_pass());
        assert!(breaker.succeeded());
        assert!(breaker.lets_pass());
    }

    #[test]
    fn one_tries_when_the_time_has_come() {
        let breaker = Breaker::new();
        for _ in 0..FAILURES_MAX {
            breaker.failed();
        }
        breaker.next_try_ms.store(1, Ordering::Relaxed);
        while breaker.now_ms() < 1 {
            std::thread::yield_now();
        }
        assert!(breaker.lets_pass());
        assert!(!breaker.lets_pass(), "a second one tried as well");
    }
}
