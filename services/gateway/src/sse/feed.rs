use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferrocart_types::Timestamp;
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// An order has fewer events in all its life; a connection that is further behind is cut.
const CHANGES_WAITING_MAX: usize = 16;

/// One step in an order's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OrderChange {
    pub(crate) order_id: Uuid,
    pub(crate) status: String,
    pub(crate) sequence: i64,
    pub(crate) at: Timestamp,
}

/// Hands what happens to orders to the connections that watch them.
#[derive(Clone)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    orders: Mutex<HashMap<Uuid, broadcast::Sender<OrderChange>>>,
    streams: Mutex<HashMap<Uuid, usize>>,
    streams_per_user_max: usize,
    is_live: watch::Sender<bool>,
    stopping: CancellationToken,
}

impl Feed {
    /// All streams end when `stopping` is cancelled.
    pub(crate) fn new(streams_per_user_max: usize, stopping: CancellationToken) -> Self {
        Self {
            inner: Arc::new(Inner {
                orders: Mutex::default(),
                streams: Mutex::default(),
                streams_per_user_max,
                is_live: watch::Sender::new(false),
                stopping,
            }),
        }
    }

    pub(crate) fn publish(&self, change: OrderChange) {
        if let Some(sender) = lock(&self.inner.orders).get(&change.order_id) {
            // An error means that nobody listens any more.
            sender.send(change).ok();
        }
    }

    /// From now on nothing that happens to the order is missed.
    pub(crate) fn subscribe(&self, order_id: Uuid) -> Subscription {
        let mut orders = lock(&self.inner.orders);
        let sender = orders
            .entry(order_id)
            .or_insert_with(|| broadcast::Sender::new(CHANGES_WAITING_MAX));
        Subscription {
            receiver: sender.subscribe(),
            order_id,
            feed: self.clone(),
        }
    }

    /// A place for one more stream of the user; `None` when they have enough.
    pub(crate) fn slot(&self, user: Uuid) -> Option<StreamSlot> {
        let mut streams = lock(&self.inner.streams);
        let open = streams.entry(user).or_insert(0);
        if *open >= self.inner.streams_per_user_max {
            return None;
        }
        *open += 1;
        metrics::gauge!("sse_streams").increment(1);
        Some(StreamSlot {
            user,
            feed: self.clone(),
        })
    }

    pub(crate) fn set_live(&self) {
        self.inner.is_live.send_replace(true);
    }

    /// Whether events arrive, waiting a moment for it: right after the start they do not yet.
    pub(crate) async fn wait_live(&self, at_most: Duration) -> bool {
        let mut is_live = self.inner.is_live.subscribe();
        tokio::time::timeout(at_most, is_live.wait_for(|live| *live))
            .await
            .is_ok_and(|live| live.is_ok())
    }

    pub(crate) async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection's ear on one order.
pub(crate) struct Subscription {
    receiver: broadcast::Receiver<OrderChange>,
    order_id: Uuid,
    feed: Feed,
}

impl Subscription {
    /// `None` when something was missed: the client must begin with a snapshot again.
    pub(crate) async fn next(&mut self) -> Option<OrderChange> {
        self.receiver.recv().await.ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut orders = lock(&self.feed.inner.orders);
        // The receiver of this subscription still counts.
        if orders
            .get(&self.order_id)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            orders.remove(&self.order_id);
        }
    }
}

/// Counts one stream of a user for as long as it lives.
pub(crate) struct StreamSlot {
    user: Uuid,
    feed: Feed,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        metrics::gauge!("sse_streams").decrement(1);
        let mut streams = lock(&self.feed.inner.streams);
        if let Some(open) = streams.get_mut(&self.user) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                streams.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(order_id: Uuid, sequence: i64) -> OrderChange {
        OrderChange {
            order_id,
            status: "PLACED".to_owned(),
            sequence,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a_change_reaches_those_who_watch_that_order_alone() {
        let feed = Feed::new(1, CancellationToken::new());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut first = feed.subscribe(one);
        let mut second = feed.subscribe(one);
        let mut stranger = feed.subscribe(other);
        feed.publish(change(one, 1));
        feed.publish(change(other, 7));
        assert_eq!(first.next().await.unwrap().sequence, 1);
        assert_eq!(second.next().await.unwrap().sequence, 1);
        assert_eq!(stranger.next().await.unwrap().sequence, 7);
        drop(first);
        feed.publish(change(one, 2));
        assert_eq!(second.next().await.unwrap().sequence, 2);
        drop((second, stranger));
        assert!(
            lock(&feed.inner.orders).is_empty(),
            "an order that nobody watches is kept"
        );
    }

    #[test]
    fn streams_of_a_user_are_bounded() {
        let feed = Feed::new(2, CancellationToken::new());
        let user = Uuid::from_u128(1);
        let held = (feed.slot(user).unwrap(), feed.slot(user).unwrap());
        assert!(feed.slot(user).is_none());
        assert!(feed.slot(Uuid::from_u128(2)).is_some());
        drop(held);
        assert!(feed.slot(user).is_some());
    }
}
