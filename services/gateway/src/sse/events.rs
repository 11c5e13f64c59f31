use std::collections::VecDeque;
use std::time::Duration;

use actix_web::HttpResponse;
use ferrocart_http_kit::sse::{self, StreamSlot, Streams};
use tokio::time::{Instant, Interval};
use uuid::Uuid;

use super::feed::{Change, Feed, Subscription};

/// How long a request waits for the reader of events when it begins to read.
const LIVE_WAIT: Duration = Duration::from_secs(2);

/// An ear that is open before the present state is asked for, so that nothing can happen between the two unseen.
pub(crate) struct Ear<C: Change> {
    subscription: Subscription<C>,
    feed: Feed<C>,
    streams: Streams,
    _slot: StreamSlot,
    is_live: bool,
}

impl<C: Change> Ear<C> {
    pub(crate) async fn open(key: Uuid, feed: &Feed<C>, (streams, slot): (&Streams, StreamSlot)) -> Self {
        let subscription = feed.subscribe(key);
        Self {
            subscription,
            is_live: feed.wait_live(LIVE_WAIT).await,
            feed: feed.clone(),
            streams: streams.clone(),
            _slot: slot,
        }
    }

    /// The stream: what there is to tell at first, then every change beyond `sequence`; nothing after those if
    /// `is_over`.
    pub(crate) fn respond(self, first: &[C], sequence: i64, is_over: bool) -> HttpResponse {
        let mut waiting = VecDeque::from([sse::opening()]);
        waiting.extend(first.iter().map(event));
        let events = Events {
            waiting,
            sequence,
            is_over,
            not_before: Instant::now(),
            heartbeat: self.streams.heartbeat(),
            ear: self,
        };
        sse::respond(futures::stream::unfold(events, |mut events| async move {
            Some((events.next().await?, events))
        }))
    }
}

fn event<C: Change>(change: &C) -> String {
    sse::event(C::NAME, change.sequence(), change)
}

/// An open stream.
struct Events<C: Change> {
    waiting: VecDeque<String>,
    /// Of the last event that was sent.
    sequence: i64,
    is_over: bool,
    /// When the next change may be told.
    not_before: Instant,
    heartbeat: Interval,
    ear: Ear<C>,
}

impl<C: Change> Events<C> {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(text);
            }
            if self.is_over {
                return None;
            }
            let not_before = self.not_before;
            let change = async {
                tokio::time::sleep_until(not_before).await;
                self.ear.subscription.next().await
            };
            tokio::select! {
                change = change => self.take(&change?),
                _ = self.heartbeat.tick() => {
                    // What happened before events arrived was missed: the client comes again for a snapshot.
                    self.is_over = !self.ear.is_live && self.ear.feed.wait_live(Duration::ZERO).await;
                    self.waiting.push_back(sse::HEARTBEAT.to_owned());
                }
                () = self.ear.streams.stopping() => return None,
            }
        }
    }

    fn take(&mut self, change: &C) {
        // Delivered again, or told by the snapshot already.
        if change.sequence() <= self.sequence {
            return;
        }
        self.sequence = change.sequence();
        self.is_over = change.is_last();
        self.not_before = Instant::now() + C::PACE;
        self.waiting.push_back(event(change));
    }
}
