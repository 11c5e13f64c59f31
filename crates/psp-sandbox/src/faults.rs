//! Faults that are asked for at run time. They concern the API alone and end with the process.

use crate::api::error::ApiError;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const LATENCY_MS_MAX: u64 = 60_000;
const COUNT_MAX: u32 = 1_000_000;

/// `POST /sandbox/faults`: what is given is set, the rest stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Every answer waits this long.
    latency_ms: Option<u64>,
    /// The next requests are refused, and nothing is done.
    fail_next: Option<FailNext>,
    /// Requests are taken and held, up to a minute, until this is false again.
    hang: Option<bool>,
    /// The answers of the next requests are lost: what they asked for is done.
    drop_next: Option<u32>,
    /// The answer of every n-th POST is lost; 0 for none.
    drop_every: Option<u32>,
    /// Webhooks wait until this is false again.
    webhooks_paused: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailNext {
    count: u32,
    status: u16,
}

/// `GET /sandbox/faults`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct State {
    latency_ms: u64,
    fail_next: FailNext,
    hang: bool,
    drop_next: u32,
    drop_every: u32,
    webhooks_paused: bool,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    posts: u32,
    served: Served,
}

/// How often the API was asked since the process began.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Served {
    reads: u64,
    writes: u64,
}

#[derive(Debug)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
    hang: watch::Sender<bool>,
    webhooks_paused: watch::Sender<bool>,
}

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) latency: Duration,
    pub(crate) fail: Option<u16>,
    pub(crate) drop_answer: bool,
}

impl Faults {
    pub(crate) fn new(latency_ms: u64) -> Self {
        let state = State {
            latency_ms: latency_ms.min(LATENCY_MS_MAX),
            ..State::default()
        };
        Self {
            inner: Mutex::new(Inner {
                state,
                ..Inner::default()
            }),
            hang: watch::Sender::new(false),
            webhooks_paused: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.inner().state
    }

    pub(crate) fn served(&self) -> Served {
        self.inner().served
    }

    pub(crate) fn webhooks_paused(&self) -> watch::Receiver<bool> {
        self.webhooks_paused.subscribe()
    }

    pub(crate) fn change(&self, change: &Change) -> Result<State, ApiError> {
        let refuse = |param: &str| Err(ApiError::param_invalid(param, None, "Out of bounds."));
        if change.latency_ms.is_some_and(|ms| ms > LATENCY_MS_MAX) {
            return refuse("latency_ms");
        }
        let counts = [
            change.fail_next.map(|fail| fail.count),
            change.drop_next,
            change.drop_every,
        ];
        if counts.into_iter().flatten().any(|count| count > COUNT_MAX) {
            return refuse("count");
        }
        if change
            .fail_next
            .is_some_and(|fail| fail.count > 0 && !(400..=599).contains(&fail.status))
        {
            return refuse("fail_next.status");
        }
        let mut inner = self.inner();
        let state = &mut inner.state;
        state.latency_ms = change.latency_ms.unwrap_or(state.latency_ms);
        state.fail_next = change.fail_next.unwrap_or(state.fail_next);
        state.hang = change.hang.unwrap_or(state.hang);
        state.drop_next = change.drop_next.unwrap_or(state.drop_next);
        state.drop_every = change.drop_every.unwrap_or(state.drop_every);
        state.webhooks_paused = change.webhooks_paused.unwrap_or(state.webhooks_paused);
        self.hang.send_replace(state.hang);
        self.webhooks_paused.send_replace(state.webhooks_paused);
        Ok(*state)
    }

    /// Draws the fate of the next request.
    pub(crate) fn meet(&self, post: bool) -> Fate {
        let mut inner = self.inner();
        if post {
            inner.served.writes += 1;
        } else {
            inner.served.reads += 1;
        }
        let latency = Duration::from_millis(inner.state.latency_ms);
        if inner.state.fail_next.count > 0 {
            inner.state.fail_next.count -= 1;
            return Fate {
                latency,
                fail: Some(inner.state.fail_next.status),
                drop_answer: false,
            };
        }
        let mut drop_answer = false;
        if inner.state.drop_next > 0 {
            inner.state.drop_next -= 1;
            drop_answer = true;
        }
        if post && inner.state.drop_every > 0 {
            inner.posts = inner.posts.wrapping_add(1);
            drop_answer |= inner.posts.is_multiple_of(inner.state.drop_every);
        }
        Fate {
            latency,
            fail: None,
            drop_answer,
        }
    }

    /// Waits while the sandbox hangs; false if it still does at the deadline.
    pub(crate) async fn pass(&self, at_most: Duration) -> bool {
        let mut hang = self.hang.subscribe();
        let passed = tokio::time::timeout(at_most, hang.wait_for(|hang| !hang)).await;
        passed.is_ok_and(|passed| passed.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> Change {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn faults_run_out() {
        let faults = Faults::new(0);
        faults
            .change(&change(r#"{"fail_next":{"count":1,"status":503},"drop_next":1}"#))
            .unwrap();
        let fates = [faults.meet(true), faults.meet(true), faults.meet(true)];
        assert_eq!(
            fates.map(|fate| (fate.fail, fate.drop_answer)),
            [(Some(503), false), (None, true), (None, false)]
        );
    }

    #[test]
    fn every_nth_post_loses_its_answer_and_reads_do_not_count() {
        let faults = Faults::new(0);
        faults.change(&change(r#"{"drop_every":3}"#)).unwrap();
        let lost = (0..9).filter(|_| {
            assert!(!faults.meet(false).drop_answer);
            faults.meet(true).drop_answer
        });
        assert_eq!(lost.count(), 3);
    }

    #[test]
    fn changes_out_of_bounds_change_nothing() {
        let faults = Faults::new(0);
        for bad in [
            r#"{"latency_ms":60001,"drop_next":5}"#,
            r#"{"fail_next":{"count":1,"status":200}}"#,
        ] {
            assert!(faults.change(&change(bad)).is_err());
        }
        assert_eq!(faults.state().drop_next, 0);
        assert!(serde_json::from_str::<Change>(r#"{"latency":1}"#).is_err());
    }
}
