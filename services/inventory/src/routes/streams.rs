//! Server-sent events: what all streams of this service have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use ferrocart_types::UserId;
use futures::Stream;
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::error::ServiceError;

/// What a browser waits before it connects again.
const RETRY_MS: u32 = 1_000;
pub(super) const HEARTBEAT: &str = ": still here\n\n";

/// The streams that are open, bounded for one user and in all.
#[derive(Clone)]
pub(crate) struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    open: Mutex<HashMap<UserId, usize>>,
    per_user_max: usize,
    max: usize,
    heartbeat: Duration,
    stopping: CancellationToken,
}

/// Counts one stream for as long as it lives.
pub(super) struct Slot {
    user: UserId,
    streams: Streams,
}

impl Streams {
    pub(crate) fn new((max, per_user_max): (usize, usize), heartbeat: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                open: Mutex::default(),
                per_user_max,
                max,
                heartbeat,
                stopping: CancellationToken::new(),
            }),
        }
    }

    /// Viewers without an account share one place in the count: in all they are bounded like everybody.
    pub(super) fn slot(&self, user: Option<UserId>) -> Result<Slot, ServiceError> {
        let key = user.unwrap_or(UserId(uuid::Uuid::nil()));
        let mut open = self.lock();
        let all: usize = open.values().sum();
        let own = open.get(&key).copied().unwrap_or(0);
        if all >= self.inner.max || (user.is_some() && own >= self.inner.per_user_max) {
            return Err(ServiceError::TooManyStreams);
        }
        open.insert(key, own + 1);
        metrics::gauge!("sse_streams").increment(1);
        Ok(Slot {
            user: key,
            streams: self.clone(),
        })
    }

    pub(super) fn heartbeat(&self) -> Interval {
        let period = self.inner.heartbeat;
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Ends all that are open and all that come: a server that is to stop waits for nobody who only listens.
    pub(crate) fn end(&self) {
        self.inner.stopping.cancel();
    }

    pub(super) async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        metrics::gauge!("sse_streams").decrement(1);
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

pub(super) fn opening() -> String {
    format!("retry: {RETRY_MS}\n\n")
}

pub(super) fn event(name: &str, id: i64, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

/// What is no id of ours counts as nothing seen.
pub(super) fn last_event_id(request: &HttpRequest) -> Option<i64> {
    let value = request.headers().get("last-event-id")?;
    value.to_str().ok()?.trim().parse().ok()
}

pub(super) fn respond<S>(events: S) -> HttpResponse
where
    S: Stream<Item = String> + 'static,
{
    use futures::StreamExt;
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        // nginx would otherwise collect events before it passes them on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events.map(|text| Ok::<_, actix_web::Error>(text.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_by_user_and_in_all() {
        let streams = Streams::new((3, 2), Duration::from_secs(1));
        let [one, two] = [1, 2].map(|n| Some(UserId(uuid::Uuid::from_u128(n))));
        let held = [streams.slot(one).unwrap(), streams.slot(one).unwrap()];
        assert!(streams.slot(one).is_err());
        let last = streams.slot(two).unwrap();
        assert!(streams.slot(None).is_err(), "more than there may be");
        drop((held, last));
        assert!(streams.slot(None).is_ok() && streams.slot(one).is_ok());
        assert!(streams.lock().is_empty());
    }
}
