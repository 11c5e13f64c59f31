use chrono::TimeDelta;
use ferrocart_types::Timestamp;

use crate::config::SenderSettings;

/// Why a try failed, as far as it decides what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The way out is away: it is waited for, and no try is counted.
    Unavailable,
    /// This message was refused for now.
    Temporary,
    /// This message was refused for good.
    Permanent,
}

/// A message that did not get out. `reason` is made here of status codes and fixed words: what the other side writes often
/// names the recipient, and this goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct SendError {
    pub(crate) refusal: Refusal,
    pub(crate) reason: String,
}

impl SendError {
    pub(crate) fn new(refusal: Refusal, reason: impl Into<String>) -> Self {
        Self {
            refusal,
            reason: reason.into(),
        }
    }
}

/// What was done for a message up to now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// This try included.
    pub(crate) attempts: u32,
    /// Before this try.
    pub(crate) refusals: u32,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry { at: Timestamp, refusals: u32 },
    GiveUp { refusals: u32 },
}

#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    first_ms: u64,
    max_ms: u64,
    refusals_max: u32,
    give_up_after: TimeDelta,
}

impl RetryPolicy {
    pub(crate) fn new(settings: &SenderSettings) -> Self {
        Self {
            first_ms: settings.backoff_first_ms,
            max_ms: settings.backoff_max_ms,
            refusals_max: settings.refusals_max,
            give_up_after: TimeDelta::hours(settings.give_up_after_hours.into()),
        }
    }

    /// `jitter`, from 0 to 1000, is a random number: it spreads the tries over the second half of the
    /// wait, so that an outage's backlog does not come back all at once.
    pub(crate) fn after(&self, refusal: Refusal, tried: Tried, now: Timestamp, jitter: u64) -> Verdict {
        let refusals = match refusal {
            Refusal::Unavailable => tried.refusals,
            Refusal::Temporary | Refusal::Permanent => tried.refusals.saturating_add(1),
        };
        let at = now + self.wait(tried.attempts, jitter);
        let hopeless = refusal == Refusal::Permanent
            || refusals >= self.refusals_max
            || at - tried.created_at > self.give_up_after;
        if hopeless {
            Verdict::GiveUp { refusals }
        } else {
            Verdict::Retry { at, refusals }
        }
    }

    fn wait(&self, attempts: u32, jitter: u64) -> TimeDelta {
        let doublings = attempts.saturating_sub(1).min(32);
        let ceiling_ms = self.first_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let half_ms = ceiling_ms / 2;
        let wait_ms = half_ms + (ceiling_ms - half_ms).saturating_mul(jitter.min(1000)) / 1000;
        TimeDelta::milliseconds(i64::try_from(wait_ms).unwrap_or(i64::MAX / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first_ms: 1_000,
            max_ms: 60_000,
            refusals_max: 3,
            give_up_after: TimeDelta::hours(1),
        }
    }

    fn tried(attempts: u32, refusals: u32) -> Tried {
        Tried {
            attempts,
            refusals,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn wait_ms(verdict: Verdict) -> i64 {
        match verdict {
            Verdict::Retry { at, .. } => at.timestamp_millis(),
            Verdict::GiveUp { .. } => panic!("given up"),
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_keeps_half_of_itself() {
        let wait = |attempts, jitter| {
            let verdict = policy().after(
                Refusal::Unavailable,
                tried(attempts, 0),
                Timestamp::UNIX_EPOCH,
                jitter,
            );
            wait_ms(verdict)
        };
        assert_eq!((wait(1, 0), wait(1, 1000)), (500, 1_000));
        assert_eq!((wait(2, 0), wait(2, 1000)), (1_000, 2_000));
        assert_eq!((wait(5, 500), wait(5, 1000)), (12_000, 16_000));
        assert_eq!((wait(40, 1000), wait(u32::MAX, 1000)), (60_000, 60_000));
    }

    #[test]
    fn refusals_are_counted_and_outages_are_not() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |refusal, refusals| policy().after(refusal, tried(50, refusals), now, 0);
        assert!(matches!(
            after(Refusal::Temporary, 1),
            Verdict::Retry { refusals: 2, .. }
        ));
        assert_eq!(after(Refusal::Temporary, 2), Verdict::GiveUp { refusals: 3 });
        assert!(matches!(
            after(Refusal::Unavailable, 2),
            Verdict::Retry { refusals: 2, .. }
        ));
        assert_eq!(after(Refusal::Permanent, 0), Verdict::GiveUp { refusals: 1 });
    }

    #[test]
    fn even_an_outage_is_not_waited_for_for_ever() {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::hours(1);
        let verdict = policy().after(Refusal::Unavailable, tried(9, 0), now, 0);
        assert_eq!(verdict, Verdict::GiveUp { refusals: 0 });
    }
}
