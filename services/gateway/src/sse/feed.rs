use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferrocart_contracts::{Envelope, Topic};
use serde::Serialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// An order has fewer events in all its life; a connection that is further behind has missed some.
const CHANGES_WAITING_MAX: usize = 16;

/// Something that happened to one thing that can be watched.
pub(crate) trait Change: Clone + Serialize + Send + Sync + 'static {
    /// The event's name in the stream.
    const NAME: &'static str;
    const TOPIC: Topic;
    /// Whether one change says all there is to say: those before the newest need not be told then.
    const IS_STATE: bool;
    /// The least time between two events of a stream.
    const PACE: Duration;
    /// How long the topic is read on when nobody watches any more; for ever without it.
    const LINGER: Option<Duration>;

    /// What an event of the topic tells of it; `None` for what it does not tell.
    fn of(envelope: &Envelope, key: Uuid) -> Option<Self>;

    /// Grows with every change; the event's id.
    fn sequence(&self) -> i64;

    /// Whether nothing follows.
    fn is_last(&self) -> bool;
}

/// Hands what happens to the connections that watch it.
pub(crate) struct Feed<C> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    watched: Mutex<HashMap<Uuid, broadcast::Sender<C>>>,
    is_watched: watch::Sender<bool>,
    is_live: watch::Sender<bool>,
}

impl<C> Clone for Feed<C> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<C> Default for Feed<C> {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                watched: Mutex::default(),
                is_watched: watch::Sender::new(false),
                is_live: watch::Sender::new(false),
            }),
        }
    }
}

impl<C: Change> Feed<C> {
    /// Makes the change only if somebody watches.
    pub(crate) fn publish(&self, key: Uuid, change: impl FnOnce() -> Option<C>) {
        if let Some(sender) = lock(&self.inner.watched).get(&key)
            && let Some(change) = change()
        {
            // An error means that nobody listens any more.
            sender.send(change).ok();
        }
    }

    /// From now on nothing that the feed hears of is missed.
    pub(crate) fn subscribe(&self, key: Uuid) -> Subscription<C> {
        let mut watched = lock(&self.inner.watched);
        let sender = watched
            .entry(key)
            .or_insert_with(|| broadcast::Sender::new(CHANGES_WAITING_MAX));
        let receiver = sender.subscribe();
        self.inner.is_watched.send_replace(true);
        Subscription {
            receiver,
            key,
            feed: self.clone(),
        }
    }

    pub(crate) fn set_live(&self, is_live: bool) {
        self.inner.is_live.send_replace(is_live);
    }

    /// Whether events arrive, waiting a moment for it: when the topic begins to be read they do not yet.
    pub(crate) async fn wait_live(&self, at_most: Duration) -> bool {
        let mut is_live = self.inner.is_live.subscribe();
        tokio::time::timeout(at_most, is_live.wait_for(|live| *live))
            .await
            .is_ok_and(|live| live.is_ok())
    }

    /// Until the topic should be read.
    pub(crate) async fn wanted(&self) {
        if C::LINGER.is_some() {
            self.wait_watched(true).await;
        }
    }

    /// Until nobody has watched anything for a while.
    pub(crate) async fn unwanted(&self) {
        let Some(linger) = C::LINGER else {
            return std::future::pending().await;
        };
        loop {
            self.wait_watched(false).await;
            let again = tokio::time::timeout(linger, self.wait_watched(true)).await;
            if again.is_err() {
                return;
            }
        }
    }

    async fn wait_watched(&self, whether: bool) {
        let mut is_watched = self.inner.is_watched.subscribe();
        // The sender lives as long as the feed.
        is_watched.wait_for(|is| *is == whether).await.ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection's ear on one thing.
pub(crate) struct Subscription<C: Change> {
    receiver: broadcast::Receiver<C>,
    key: Uuid,
    feed: Feed<C>,
}

impl<C: Change> Subscription<C> {
    /// `None` when something was missed: the client must begin with a snapshot again.
    pub(crate) async fn next(&mut self) -> Option<C> {
        loop {
            match self.receiver.recv().await {
                Ok(change) if C::IS_STATE => return Some(self.newest(change)),
                Ok(change) => return Some(change),
                // What it still holds is newer.
                Err(RecvError::Lagged(_)) if C::IS_STATE => {}
                Err(_) => return None,
            }
        }
    }

    fn newest(&mut self, mut change: C) -> C {
        loop {
            match self.receiver.try_recv() {
                Ok(newer) => change = newer,
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return change,
            }
        }
    }
}

impl<C: Change> Drop for Subscription<C> {
    fn drop(&mut self) {
        let mut watched = lock(&self.feed.inner.watched);
        // The receiver of this subscription still counts.
        if watched
            .get(&self.key)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            watched.remove(&self.key);
        }
        if watched.is_empty() {
            self.feed.inner.is_watched.send_replace(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::sse::{OrderChange, StockChange};

    fn order(id: Uuid, sequence: i64) -> OrderChange {
        OrderChange {
            order_id: id,
            status: "PLACED".to_owned(),
            sequence,
            at: ferrocart_types::Timestamp::UNIX_EPOCH,
        }
    }

    fn stock(id: Uuid, version: i64) -> StockChange {
        StockChange {
            sku_id: id,
            on_hand: 0,
            reserved: 0,
            available: 0,
            version,
            is_discontinued: false,
        }
    }

    #[tokio::test]
    async fn a_change_reaches_those_who_watch_that_order_alone() {
        let feed = Feed::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut first = feed.subscribe(one);
        let mut second = feed.subscribe(one);
        let mut stranger = feed.subscribe(other);
        feed.publish(one, || Some(order(one, 1)));
        feed.publish(other, || Some(order(other, 7)));
        assert_eq!(first.next().await.unwrap().sequence, 1);
        assert_eq!(second.next().await.unwrap().sequence, 1);
        assert_eq!(stranger.next().await.unwrap().sequence, 7);
        drop(first);
        feed.publish(one, || Some(order(one, 2)));
        assert_eq!(second.next().await.unwrap().sequence, 2);
        drop((second, stranger));
        assert!(
            lock(&feed.inner.watched).is_empty(),
            "an order that nobody watches is kept"
        );
        feed.publish(one, || panic!("nobody watches"));
    }

    #[tokio::test]
    async fn of_many_steps_none_is_left_out_and_of_many_states_the_newest_is_told() {
        let (orders, stocks) = (Feed::default(), Feed::default());
        let id = Uuid::from_u128(1);
        let (mut steps, mut states) = (orders.subscribe(id), stocks.subscribe(id));
        for sequence in 1..=3 {
            orders.publish(id, || Some(order(id, sequence)));
            stocks.publish(id, || Some(stock(id, sequence)));
        }
        assert_eq!(steps.next().await.unwrap().sequence, 1);
        assert_eq!(states.next().await.unwrap().version, 3);
        for sequence in 4..=100 {
            orders.publish(id, || Some(order(id, sequence)));
            stocks.publish(id, || Some(stock(id, sequence)));
        }
        assert!(steps.next().await.is_none(), "steps were missed unseen");
        assert_eq!(states.next().await.unwrap().version, 100);
        assert!(states.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_is_read_while_somebody_watches_and_a_while_longer() {
        let feed = Feed::<StockChange>::default();
        assert!(feed.wanted().now_or_never().is_none());
        let watching = feed.subscribe(Uuid::from_u128(1));
        feed.wanted().await;
        let linger = StockChange::LINGER.unwrap();
        let unwanted = feed.unwanted();
        tokio::pin!(unwanted);
        assert!(tokio::time::timeout(linger * 2, &mut unwanted).await.is_err());
        drop(watching);
        assert!(tokio::time::timeout(linger / 2, &mut unwanted).await.is_err());
        let watching = feed.subscribe(Uuid::from_u128(2));
        assert!(tokio::time::timeout(linger * 2, &mut unwanted).await.is_err());
        drop(watching);
        unwanted.await;
    }
}
