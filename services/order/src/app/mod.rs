//! What can be asked of orders; each use case owns its transactions.

mod access;
mod checkout;
mod commands;
mod pay;
mod read;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_types::{SharedClock, SharedIds};
use sqlx::PgPool;

use crate::clients::Clients;
use crate::saga::Driver;

pub(crate) use checkout::{CheckoutAnswer, CheckoutBody, CheckoutRequest, HoldOrderBody};
pub(crate) use commands::{Changed, Command};

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
