use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// So many calls in a row without an answer open the breaker.
    pub failures_max: u32,
    pub open_for: Duration,
}

/// Stops calls to a provider that does not answer: nobody waits for what will not come. When it was
/// open long enough one call goes through to see; its answer closes the breaker or opens it anew.
///
/// `failsafe` counts any failure and does not tell for how long it stays open, which `Retry-After`
/// needs; what is needed here is small.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// A call is under way to see; counted as lost when it does not report back by then.
    Probing {
        until: Instant,
    },
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        metrics::gauge!("psp_breaker_open").set(0.0);
        Self {
            settings,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long no call goes through, if so.
    pub fn closed_for(&self, now: Instant) -> Option<Duration> {
        match *self.state() {
            State::Open { until } | State::Probing { until } if until > now => Some(until - now),
            _ => None,
        }
    }

    /// Whether a call may go now; if not, how long to wait. What is let through must report to
    /// [`Breaker::answered`] or [`Breaker::no_answer`].
    pub fn admit(&self, now: Instant, call_at_most: Duration) -> Result<(), Duration> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Ok(()),
            State::Open { until } | State::Probing { until } if until > now => Err(until - now),
            State::Open { .. } | State::Probing { .. } => {
                *state = State::Probing {
                    until: now + call_at_most + self.settings.open_for,
                };
                Ok(())
            }
        }
    }

    pub fn answered(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Closed { .. }) {
            tracing::info!("the provider answers again: the breaker is closed");
            metrics::gauge!("psp_breaker_open").set(0.0);
        }
        *state = State::Closed { failures: 0 };
    }

    pub fn no_answer(&self, now: Instant) {
        let mut state = self.state();
        let failures = match *state {
            State::Closed { failures } => failures.saturating_add(1),
            // A call from before it opened; it told us nothing new.
            State::Open { .. } => return,
            State::Probing { .. } => self.settings.failures_max,
        };
        if failures < self.settings.failures_max {
            *state = State::Closed { failures };
            return;
        }
        *state = State::Open {
            until: now + self.settings.open_for,
        };
        tracing::warn!(failures, "the provider does not answer: the breaker is open");
        metrics::gauge!("psp_breaker_open").set(1.0);
        metrics::counter!("psp_breaker_opened_total").increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_secs(8);
    const OPEN: Duration = Duration::from_secs(10);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings {
            failures_max: 5,
            open_for: OPEN,
        })
    }

    fn fail(breaker: &Breaker, now: Instant, times: u32) {
        for _ in 0..times {
            breaker.no_answer(now);
        }
    }

    #[test]
    fn opens_after_five_in_a_row_and_not_before() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, now, 4);
        breaker.answered();
        fail(&breaker, now, 4);
        assert_eq!(breaker.admit(now, CALL), Ok(()));
        fail(&breaker, now, 1);
        assert_eq!(breaker.admit(now, CALL), Err(OPEN));
        assert_eq!(breaker.closed_for(now), Some(OPEN));
    }

    #[test]
    fn one_call_probes_and_its_answer_decides() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, now, 5);
        let later = now + OPEN;
        assert_eq!(breaker.admit(later, CALL), Ok(()), "the probe");
        assert!(breaker.admit(later, CALL).is_err(), "only one probes");
        breaker.no_answer(later);
        assert_eq!(
            breaker.admit(later, CALL),
            Err(OPEN),
            "one failed probe opens it anew"
        );
        let later = later + OPEN;
        assert_eq!(breaker.admit(later, CALL), Ok(()));
        breaker.answered();
        assert_eq!(breaker.admit(later, CALL), Ok(()));
        assert_eq!(breaker.closed_for(later), None);
    }

    #[test]
    fn a_probe_that_never_reports_does_not_keep_it_shut() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, now, 5);
        assert_eq!(breaker.admit(now + OPEN, CALL), Ok(()));
        assert_eq!(breaker.admit(now + OPEN + CALL + OPEN, CALL), Ok(()));
    }
}
