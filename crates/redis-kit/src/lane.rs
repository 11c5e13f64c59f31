use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::aio::MultiplexedConnection;

/// For so long a connection is taken to be good.
const TRUSTED: Duration = Duration::from_secs(1);

/// The connection that the calls of one thread share. Where a runtime has one thread, as an HTTP worker's has, that
/// runtime drives it too, and no other thread is woken for an answer.
#[derive(Default)]
pub(crate) struct Lane(Mutex<Option<(MultiplexedConnection, Instant)>>);

/// A lane's connection.
pub(crate) enum Open {
    /// It was found to be good lately.
    Good(MultiplexedConnection),
    Unsure(MultiplexedConnection),
}

impl Lane {
    pub(crate) fn open(&self) -> Option<Open> {
        let held = self.held();
        let (connection, since) = held.as_ref()?;
        let connection = connection.clone();
        Some(if since.elapsed() < TRUSTED {
            Open::Good(connection)
        } else {
            Open::Unsure(connection)
        })
    }

    /// One that was found to be good just now.
    pub(crate) fn put(&self, connection: MultiplexedConnection) {
        *self.held() = Some((connection, Instant::now()));
    }

    /// The next call makes a new one.
    pub(crate) fn close(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<(MultiplexedConnection, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
