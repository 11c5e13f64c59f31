//! What can be asked of orders; each use case owns its transactions.

mod access;
mod begin;
mod checkout;
mod commands;
mod pay;
mod read;
mod steer;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::Combiner;
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_redis_kit::Breaker;
use ferrocart_types::{SharedClock, SharedIds};
use sqlx::PgPool;

use crate::clients::Clients;
use crate::saga::Driver;
use crate::snapshots::Snapshots;

pub(crate) use begin::{Beginnings, Peeks};
pub(crate) use checkout::{CheckoutAnswer, CheckoutBody, CheckoutRequest, HoldOrderBody, lock_for};
pub(crate) use commands::{Changed, Command};
pub(crate) use read::Shown;
pub(crate) use steer::Steer;

/// What the use cases work with; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    inner: Arc<AppParts>,
}

pub(crate) struct AppParts {
    pub(crate) pool: PgPool,
    pub(crate) clients: Clients,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) publisher: Publisher,
    pub(crate) relay: RelayHandle,
    pub(crate) driver: Driver,
    pub(crate) beginnings: Combiner<Beginnings>,
    pub(crate) peeks: Combiner<Peeks>,
    pub(crate) snapshots: Snapshots,
    /// Whether the database is asked for an order's page.
    pub(crate) database: Breaker,
    /// How long an order's page waits for the database.
    pub(crate) read_timeout: Duration,
    /// Until when a request that started a saga is answered.
    pub(crate) deadline: Duration,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self {
            inner: Arc::new(parts),
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.inner.deadline
    }
}
