use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::aio::MultiplexedConnection;

/// For so long a connection is taken to be good.
const TRUSTED: Duration = Duration::from_secs(1);

/// The connection that the calls of one thread share. Where a runtime has one thread, as an HTTP worker's has, that
/// runtime drives it too, and no other thread is woken for an answer.
#[derive(Default)]
pub(crate) struct Lane(Mutex<Option<(MultiplexedConnection, Instant)>>);

impl Lane {
    /// The connection, if it was found to be good lately.
    pub(crate) fn open(&self) -> Option<MultiplexedConnection> {
        let held = self.held();
        let (connection, since) = held.as_ref()?;
        (since.elapsed() < TRUSTED).then(|| connection.clone())
    }

    pub(crate) fn put(&self, connection: &MultiplexedConnection) {
        *self.held() = Some((connection.clone(), Instant::now()));
    }

    /// The next call asks for a connection that is good.
    pub(crate) fn close(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<(MultiplexedConnection, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
