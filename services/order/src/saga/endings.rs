use std::sync::Arc;
use std::time::Duration;

use ferrocart_types::OrderId;
use tokio::sync::Notify;

/// How many bells there are; a few orders share one, which wakes a waiter for nothing now and then.
const BELLS: u128 = 64;
/// For what happens in another replica, which rings no bell here.
const POLL: Duration = Duration::from_millis(200);

/// Wakes requests that wait for a saga of this replica to end.
#[derive(Clone)]
pub(crate) struct Endings {
    bells: Arc<Vec<Notify>>,
}

impl Endings {
    pub(crate) fn new() -> Self {
        Self {
            bells: Arc::new((0..BELLS).map(|_| Notify::new()).collect()),
        }
    }

    fn bell(&self, order: OrderId) -> &Notify {
        let index = usize::try_from(order.as_uuid().as_u128() % BELLS).unwrap_or(0);
        &self.bells[index]
    }

    pub(crate) fn ring(&self, order: OrderId) {
        self.bell(order).notify_waiters();
    }

    /// Asks `look` until it has an answer or the deadline has passed. Looks once more after each bell.
    pub(crate) async fn wait<T, E, F>(
        &self,
        order: OrderId,
        deadline: tokio::time::Instant,
        mut look: impl FnMut() -> F,
    ) -> Result<Option<T>, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        loop {
            // Listening begins before looking, so that no bell is missed in between.
            let rung = self.bell(order).notified();
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            let until = deadline.min(tokio::time::Instant::now() + POLL);
            // Rung or not: it is time to look.
            tokio::time::timeout_at(until, rung).await.unwrap_or_default();
        }
    }
}
