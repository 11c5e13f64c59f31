//! Server-sent events: what all streams have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use ferrocart_types::UserId;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// What a browser waits before it connects again.
const RETRY_MS: u32 = 1_000;
/// A comment, which tells both ends that the other is there.
pub const HEARTBEAT: &str = ": still here\n\n";

/// Who has a stream open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Watcher {
    User(UserId),
    /// Nobody who is logged in, told apart by the client's address.
    Address(String),
    /// Nobody whom this service could tell from others: bounded with all streams alone.
    Anybody,
}

/// How many streams may be open.
#[derive(Debug, Clone, Copy)]
pub struct StreamBounds {
    pub per_watcher: usize,
    pub in_all: usize,
}

/// The streams of this process that are open.
#[derive(Clone)]
pub struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    open: Mutex<Open>,
    bounds: StreamBounds,
    heartbeat: Duration,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Open {
    by_watcher: HashMap<Watcher, usize>,
    in_all: usize,
}

impl Streams {
    pub fn new(bounds: StreamBounds, heartbeat: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                open: Mutex::default(),
                bounds,
                heartbeat,
                stopping: CancellationToken::new(),
            }),
        }
    }

    /// A place for one more stream; 429 TOO_MANY_STREAMS without one.
    pub fn slot(&self, watcher: Watcher) -> Result<StreamSlot, Problem> {
        let mut open = self.lock();
        let own = open.by_watcher.get(&watcher).copied().unwrap_or(0);
        let bounds = self.inner.bounds;
        if open.in_all >= bounds.in_all || (watcher != Watcher::Anybody && own >= bounds.per_watcher) {
            return Err(too_many_streams());
        }
        open.by_watcher.insert(watcher.clone(), own + 1);
        open.in_all += 1;
        metrics::gauge!("sse_streams").increment(1);
        Ok(StreamSlot {
            watcher,
            streams: self.clone(),
        })
    }

    /// When a stream that has nothing to tell says that it is still there.
    pub fn heartbeat(&self) -> Interval {
        let period = self.inner.heartbeat;
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Ends all that are open and all that come: a server that is to stop waits for nobody who only listens.
    pub fn end(&self) {
        self.inner.stopping.cancel();
    }

    pub async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("bounds", &self.inner.bounds)
            .finish_non_exhaustive()
    }
}

/// Counts one stream for as long as it lives.
#[derive(Debug)]
pub struct StreamSlot {
    watcher: Watcher,
    streams: Streams,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        metrics::gauge!("sse_streams").decrement(1);
        let mut open = self.streams.lock();
        open.in_all = open.in_all.saturating_sub(1);
        if let Some(count) = open.by_watcher.get_mut(&self.watcher) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_watcher.remove(&self.watcher);
            }
        }
    }
}

fn too_many_streams() -> Problem {
    let detail = "too many event streams are open: close one first";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail)
        .retry_after(Duration::from_secs(1))
}

/// What every stream begins with.
pub fn opening() -> String {
    format!("retry: {RETRY_MS}\n\n")
}

/// One event; its id comes back as `Last-Event-ID`.
pub fn event(name: &str, id: i64, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

/// The last event that a client who comes back has seen. What is no id of ours counts as nothing seen.
pub fn last_event_id(request: &HttpRequest) -> Option<i64> {
    let value = request.headers().get("last-event-id")?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The answer that goes on for as long as there are events.
pub fn respond(events: impl Stream<Item = String> + 'static) -> HttpResponse {
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
    fn streams_are_bounded_by_watcher_and_in_all() {
        let bounds = StreamBounds {
            per_watcher: 2,
            in_all: 4,
        };
        let streams = Streams::new(bounds, Duration::from_secs(1));
        let user = |n| Watcher::User(UserId(uuid::Uuid::from_u128(n)));
        let address = || Watcher::Address("192.0.2.1".to_owned());
        let mut held = vec![streams.slot(user(1)).unwrap(), streams.slot(user(1)).unwrap()];
        assert!(streams.slot(user(1)).is_err());
        held.extend([streams.slot(address()).unwrap(), streams.slot(address()).unwrap()]);
        assert!(streams.slot(user(2)).is_err(), "more than there may be");
        held.truncate(3);
        assert!(streams.slot(address()).is_ok());
        held.truncate(0);
        let held: Vec<_> = (0..4).map(|_| streams.slot(Watcher::Anybody).unwrap()).collect();
        assert!(streams.slot(Watcher::Anybody).is_err());
        drop(held);
        let open = streams.lock();
        assert!(open.by_watcher.is_empty() && open.in_all == 0);
    }
}
