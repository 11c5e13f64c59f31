//! Group commit. Requests that arrive while a commit is under way form the next batch; there is no timer.
//!
//! Every lane is one task with a connection of its own. A request goes to the lane of its lowest SKU, so
//! that the buyers of one SKU meet in one batch instead of queueing for its row; any lane may lock any
//! rows, always in the order of their ids, so a request over many SKUs needs no other treatment.
//! Confirmations, releases and deductions go to the lane where their reservation was granted, as long as that is
//! remembered, and else to that of their order.

mod connection;
mod failure;
mod lane;
mod moves;
mod reserve;

use std::sync::Arc;
use std::time::Duration;

use ferrocart_http_kit::Background;
use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::StoreError;
use ferrocart_types::{OrderId, SharedClock, SharedIds};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admission::{Admission, Gate};
use crate::app::Waiters;
use crate::cache::{Recent, ReservationCache, StockCache};
use crate::config::BatcherSettings;
use crate::domain::{Ask, Reservation, Shortage};
use crate::store;

use lane::{Job, Lane, Ticket};

pub(crate) use moves::settle;
pub use moves::{Move, Moved};
pub use reserve::Reserve;

/// Why a request got no answer from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("the queue is full")]
    Overloaded,
    /// Not answered in time: it may have been done, and a retry finds out.
    #[error("no answer in time")]
    Unavailable,
    #[error("the request could not be carried out")]
    Failed,
}

/// What batches are made with.
#[derive(Clone)]
pub struct Tools {
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub relay: RelayHandle,
    pub admission: Admission,
    /// Those who wait for what comes free.
    pub waiters: Waiters,
    /// What readers are spared to ask the database for.
    pub reservations: ReservationCache,
    /// Of how few units that can be sold it is told that they are few; below 0, never.
    pub stock_low_threshold: i64,
}

/// Hands requests to the lanes and waits for their answers.
#[derive(Clone)]
pub struct Batcher {
    lanes: Arc<[mpsc::Sender<Job>]>,
    answer_timeout: Duration,
    cache: Arc<StockCache>,
    recent: Arc<Recent>,
    reservations: ReservationCache,
    clock: SharedClock,
}

impl Batcher {
    /// Starts the lanes in the background. They connect when they first have work.
    pub fn start(
        settings: &BatcherSettings,
        options: &PgConnectOptions,
        tools: &Tools,
        background: &mut Background,
        cancel: &CancellationToken,
    ) -> Self {
        let cache = tools.admission.stock();
        let recent = Arc::new(Recent::default());
        let process = tools.ids.next();
        let lanes = (0..settings.lanes).map(|lane| {
            let (sender, receiver) = mpsc::channel(settings.lane_queue_max);
            let gate = Gate::new(tools.admission.clone(), process, lane);
            let lane = Lane::new(
                settings.batch_max,
                options,
                tools.clone(),
                (Arc::clone(&cache), Arc::clone(&recent)),
                gate,
            );
            background.spawn("lane", lane.run(receiver, cancel.clone()));
            sender
        });
        Self {
            lanes: lanes.collect(),
            answer_timeout: Duration::from_millis(settings.answer_timeout_ms),
            cache,
            recent,
            reservations: tools.reservations.clone(),
            clock: Arc::clone(&tools.clock),
        }
    }

    /// What is surely sold out of what is asked for, by what this process saw a moment ago. Asked first, it
    /// turns a crowd away at no cost to the database; see [`StockCache`].
    pub fn shortages(&self, ask: &Ask) -> Option<Vec<Shortage>> {
        let shortages = self.cache.shortages(ask, self.clock.now())?;
        reserve::count_hinted();
        Some(shortages)
    }

    /// Reserves all lines or none.
    pub async fn reserve(&self, request: Reserve) -> Result<crate::domain::Verdict, BatchError> {
        let key = request.ask.lines.lowest_sku().map(Uuid::from).unwrap_or_default();
        let (answer, waiter) = oneshot::channel();
        self.submit(key, Job::Reserve(Ticket { request, answer }), waiter)
            .await
    }

    /// Confirms, releases or deducts a reservation.
    pub async fn command(&self, request: Move) -> Result<Moved, BatchError> {
        let order = request.order_id.as_uuid();
        let key = self.recent.lowest_sku(request.order_id).map_or(order, Uuid::from);
        let (answer, waiter) = oneshot::channel();
        let moved = self
            .submit(key, Job::Move(Ticket { request, answer }), waiter)
            .await?;
        if let Moved::Done(reservation) = &moved {
            // Before the caller hears of it, who may then read it anywhere.
            self.reservations.put(reservation, self.clock.now()).await;
        }
        Ok(moved)
    }

    /// The order's reservation, as it was within the last second or is now; not yet [`Reservation::seen_at`].
    pub async fn find(&self, pool: &PgPool, order: OrderId) -> Result<Option<Reservation>, StoreError> {
        let now = self.clock.now();
        if let Some(reservation) = self.reservations.find(order, now).await {
            return Ok(Some(reservation));
        }
        let mut conn = pool.acquire().await?;
        let found = store::find(&mut conn, &[order]).await?.remove(&order);
        drop(conn);
        if let Some(reservation) = &found {
            self.reservations.put(reservation, now).await;
        }
        Ok(found)
    }

    /// How many requests wait for their batch.
    pub fn queued(&self) -> usize {
        let waiting = self
            .lanes
            .iter()
            .map(|lane| lane.max_capacity() - lane.capacity());
        waiting.sum()
    }

    /// A caller that hangs up drops the waiter: its request is then left out of its batch, or, if the
    /// batch is under way, stands like any other.
    async fn submit<A>(
        &self,
        key: Uuid,
        job: Job,
        waiter: oneshot::Receiver<Result<A, BatchError>>,
    ) -> Result<A, BatchError> {
        let lane = self.lane_of(key).ok_or(BatchError::Unavailable)?;
        lane.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                metrics::counter!("inventory_overloaded_total").increment(1);
                BatchError::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => BatchError::Unavailable,
        })?;
        match tokio::time::timeout(self.answer_timeout, waiter).await {
            Ok(Ok(answer)) => answer,
            // The lane is shutting down, or the time is up.
            Ok(Err(_)) | Err(_) => Err(BatchError::Unavailable),
        }
    }

    fn lane_of(&self, key: Uuid) -> Option<&mpsc::Sender<Job>> {
        // The low half of a UUID is random in every version that is used as a key; of other ids, folding
        // both halves makes what there is to be had.
        let (high, low) = key.as_u64_pair();
        let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = u64::try_from(self.lanes.len()).ok()?;
        let index = usize::try_from(mixed.checked_rem(count)?).ok()?;
        self.lanes.get(index)
    }
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}
