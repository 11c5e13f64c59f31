use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrocart_failpoint::{Pass, Site};
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{OrderId, SkuId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admission::{Gate, hand_out};
use crate::batcher::connection::LaneConnection;
use crate::batcher::failure::{Failure, classify};
use crate::batcher::moves::Moves;
use crate::batcher::reserve::Reserves;
use crate::batcher::{BatchError, Move, Moved, Reserve, Tools};
use crate::cache::{Recent, StockCache};
use crate::domain::{Counters, Refused, Shortage, Verdict};
use crate::store::{self, Changes};

/// A batch that takes longer is taken to be lost; longer than any statement may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a batch is decided anew because somebody else was in the way.
const TRIES_MAX: u32 = 8;
const RECONNECT_MIN: Duration = Duration::from_millis(10);
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// After the fast path failed, this many batches take the exact one: somebody else sells these SKUs too.
const EXACT_AFTER_STALE: u32 = 8;

/// A request and whom to answer.
pub(super) struct Ticket<Q, A> {
    pub(super) request: Q,
    pub(super) answer: oneshot::Sender<Result<A, BatchError>>,
}

pub(super) type TicketOf<K> = Ticket<<K as BatchKind>::Request, <K as BatchKind>::Answer>;

pub(super) enum Job {
    Reserve(Ticket<Reserve, Verdict>),
    Move(Ticket<Move, Moved>),
}

/// A batch that is decided: what to write, and what to answer once it is written.
pub(super) struct Decided<A> {
    /// One for each request, in order.
    pub(super) answers: Vec<A>,
    pub(super) changes: Changes,
    /// The counters after, of all SKUs that were looked at.
    pub(super) stock: Vec<(SkuId, Counters)>,
}

/// A kind of request that is carried out in batches.
pub(super) trait BatchKind {
    const NAME: &'static str;
    type Request: Send + Sync;
    type Answer: Send;

    /// Where a batch of such requests can be made to go wrong.
    fn site(requests: &[TicketOf<Self>]) -> Option<Site>
    where
        Self: Sized;

    /// Counts an answer that is given.
    fn count(answer: &Self::Answer);

    /// What the database had too little of.
    fn shortages(_: &Self::Answer) -> &[Shortage] {
        &[]
    }

    /// Decides from what this process remembers, if that is enough to do all that is asked.
    fn guess(
        tools: &Tools,
        memory: (&StockCache, &Recent),
        requests: &[&Self::Request],
    ) -> Option<Decided<Self::Answer>>;

    /// Decides from rows that it locks.
    fn decide(
        tools: &Tools,
        conn: &mut PgConnection,
        requests: &[&Self::Request],
    ) -> impl Future<Output = Result<Decided<Self::Answer>, StoreError>> + Send;
}

pub(super) struct Lane {
    batch_max: usize,
    connection: LaneConnection,
    tools: Tools,
    cache: Arc<StockCache>,
    recent: Arc<Recent>,
    gate: Gate,
    /// How many batches are still to take the exact path.
    exact_left: u32,
}

impl Lane {
    pub(super) fn new(
        batch_max: usize,
        options: &PgConnectOptions,
        tools: Tools,
        (cache, recent): (Arc<StockCache>, Arc<Recent>),
        gate: Gate,
    ) -> Self {
        Self {
            batch_max,
            connection: LaneConnection::new(options),
            tools,
            cache,
            recent,
            gate,
            exact_left: 0,
        }
    }

    /// Works until it is cancelled, then does what is in its queue.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Job>,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut jobs = Vec::with_capacity(self.batch_max);
        loop {
            let count = if queue.is_closed() {
                queue.recv_many(&mut jobs, self.batch_max).await
            } else {
                tokio::select! {
                    count = queue.recv_many(&mut jobs, self.batch_max) => count,
                    () = cancel.cancelled() => {
                        queue.close();
                        continue;
                    }
                }
            };
            if count == 0 {
                self.connection.close().await;
                return Ok(());
            }
            let mut reserves = Vec::new();
            let mut moves = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Reserve(ticket) => reserves.push(ticket),
                    Job::Move(ticket) => moves.push(ticket),
                }
            }
            self.carry_out::<Moves>(moves).await;
            self.gate.settle();
            let reserves = self.admit(reserves).await;
            self.carry_out::<Reserves>(reserves).await;
            self.gate.settle();
        }
    }

    /// Turns away those for whom the counters have nothing, without the database. Only who was here before
    /// goes on all the same: the first answer stands, however little is left.
    async fn admit(&mut self, mut batch: Vec<TicketOf<Reserves>>) -> Vec<TicketOf<Reserves>> {
        batch.retain(|ticket| !ticket.answer.is_closed());
        let asks = || batch.iter().map(|ticket| &ticket.request.ask);
        let mut offer = self.gate.take(asks()).await;
        if offer.units.is_empty() {
            return batch;
        }
        let shortages = hand_out(&mut offer.units, asks());
        self.gate.give_back(&offer.units);
        let short: Vec<OrderId> = asks()
            .zip(&shortages)
            .filter(|(ask, shortages)| !shortages.is_empty() && !offer.is_new(ask.order_id, shortages))
            .map(|(ask, _)| ask.order_id)
            .collect();
        let Some(known) = self.known(&short).await else {
            return batch;
        };
        let mut admitted = Vec::with_capacity(batch.len());
        for (ticket, shortages) in batch.into_iter().zip(shortages) {
            if shortages.is_empty() || known.contains(&ticket.request.ask.order_id) {
                admitted.push(ticket);
            } else {
                metrics::counter!("inventory_admission_refused_total").increment(1);
                let verdict = Verdict::Refused(Refused::Insufficient(shortages));
                answer_all::<Reserves>(vec![ticket], vec![verdict]);
            }
        }
        admitted
    }

    /// Which of these orders have a reservation. None when that cannot be found out now.
    async fn known(&mut self, orders: &[OrderId]) -> Option<HashSet<OrderId>> {
        if orders.is_empty() {
            return Some(HashSet::new());
        }
        let look = async { store::find(self.connection.get().await?, orders).await };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, look).await {
            Ok(Ok(found)) => Some(found.into_keys().collect()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "who was here before could not be looked up");
                self.connection.lose();
                None
            }
            Err(_) => {
                self.connection.lose();
                None
            }
        }
    }

    /// Brings every request of the batch to its answer. A batch whose outcome is unknown is decided once
    /// more on a new connection: its requests that were committed are found and answered as such.
    async fn carry_out<K: BatchKind>(&mut self, batch: Vec<TicketOf<K>>) {
        let mut batches = vec![batch];
        let mut first = true;
        let mut tries = 1;
        let mut pause = RECONNECT_MIN;
        while let Some(mut batch) = batches.pop() {
            // Nobody waits for these any more; what is not done yet need not be.
            batch.retain(|ticket| !ticket.answer.is_closed());
            if batch.is_empty() {
                continue;
            }
            let error = match self.attempt_or_fail::<K>(&batch, first).await {
                Ok(answers) => {
                    answer_all::<K>(batch, answers);
                    continue;
                }
                Err(error) => error,
            };
            let failure = match classify(&error) {
                // What was guessed may have been wrong: only rows that were read say that a request is at fault.
                Failure::Divide if first => Failure::Again,
                failure => failure,
            };
            first = false;
            tracing::debug!(kind = K::NAME, size = batch.len(), ?failure, %error, "a batch failed");
            metrics::counter!("inventory_batch_failures_total", "kind" => K::NAME).increment(1);
            match failure {
                Failure::Again if tries < TRIES_MAX => {
                    tries += 1;
                    batches.push(batch);
                }
                Failure::Divide if batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    batches.push(rest);
                    batches.push(batch);
                }
                Failure::Unknown => {
                    tracing::warn!(kind = K::NAME, size = batch.len(), %error, "a batch is read back");
                    self.connection.lose();
                    self.gate.unsure();
                    tokio::time::sleep(pause).await;
                    pause = RECONNECT_MAX.min(pause * 2);
                    batches.push(batch);
                }
                Failure::Again | Failure::Refused => {
                    tracing::warn!(kind = K::NAME, size = batch.len(), %error, "a batch is put off");
                    refuse_all::<K>(batch, BatchError::Unavailable);
                }
                Failure::Divide | Failure::Fatal => {
                    tracing::error!(kind = K::NAME, size = batch.len(), %error, "a batch could not be carried out");
                    refuse_all::<K>(batch, BatchError::Failed);
                }
            }
        }
    }

    /// An attempt, between the failpoints of its kind. A batch that is carried out twice is decided anew the
    /// second time, as one that is read back.
    async fn attempt_or_fail<K: BatchKind>(
        &mut self,
        batch: &[TicketOf<K>],
        first: bool,
    ) -> Result<Vec<K::Answer>, StoreError> {
        let Some(site) = K::site(batch).filter(|_| ferrocart_failpoint::COMPILED_IN) else {
            return self.attempt::<K>(batch, first).await;
        };
        let before = ferrocart_failpoint::reach(site.before()).await?;
        let answers = self.attempt::<K>(batch, first).await?;
        let after = ferrocart_failpoint::reach(site.after()).await?;
        if [before, after].contains(&Pass::Twice) {
            return self.attempt::<K>(batch, false).await;
        }
        Ok(answers)
    }

    async fn attempt<K: BatchKind>(
        &mut self,
        batch: &[TicketOf<K>],
        first: bool,
    ) -> Result<Vec<K::Answer>, StoreError> {
        let requests: Vec<&K::Request> = batch.iter().map(|ticket| &ticket.request).collect();
        let started = Instant::now();
        let guessed = if first && self.exact_left == 0 {
            K::guess(&self.tools, (&self.cache, &self.recent), &requests)
        } else {
            None
        };
        let fast = guessed.is_some();
        let work = async {
            let conn = self.connection.get().await?;
            match guessed {
                Some(decided) => fast_path(conn, &self.tools, decided).await,
                None => exact_path::<K>(conn, &self.tools, &requests).await,
            }
        };
        let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, work).await;
        let decided = outcome.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(sqlx::Error::Io(late)).op("lane.attempt")
        });
        match (&decided, fast) {
            (Err(_), true) => self.exact_left = EXACT_AFTER_STALE,
            (_, false) => self.exact_left = self.exact_left.saturating_sub(1),
            (Ok(_), true) => {}
        }
        let decided = decided?;
        record(K::NAME, fast, batch.len(), started);
        // In this order: a hint that says sold out must know who was granted.
        self.cache
            .granted(decided.changes.granted.iter().map(|granted| granted.order_id));
        self.recent.granted(&decided.changes.granted);
        let moved = decided.changes.moved.iter().map(|moved| moved.order_id);
        let extended = decided.changes.extended.iter().map(|(order, _)| *order);
        self.recent.forget(moved.chain(extended));
        self.cache.learn(decided.stock.iter().copied());
        self.gate.committed(&decided.changes.stock);
        self.tools.waiters.committed(&decided.changes.stock);
        for shortage in decided.answers.iter().flat_map(K::shortages) {
            self.gate.contradicted(shortage.sku);
        }
        if !decided.changes.is_empty() {
            self.tools.relay.poke();
        }
        Ok(decided.answers)
    }
}

/// One statement that commits itself.
async fn fast_path<A>(
    conn: &mut PgConnection,
    tools: &Tools,
    decided: Decided<A>,
) -> Result<Decided<A>, StoreError> {
    store::apply(conn, &decided.changes, tools.clock.now()).await?;
    Ok(decided)
}

async fn exact_path<K: BatchKind>(
    conn: &mut PgConnection,
    tools: &Tools,
    requests: &[&K::Request],
) -> Result<Decided<K::Answer>, StoreError> {
    let mut tx = conn.begin().await.op("batch.begin")?;
    let outcome = match K::decide(tools, &mut tx, requests).await {
        Ok(decided) => store::apply(&mut tx, &decided.changes, tools.clock.now())
            .await
            .map(|()| decided),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(decided) => {
            tx.commit().await.op("batch.commit")?;
            Ok(decided)
        }
        Err(error) => {
            // The first error says more than that the rollback failed as well; a connection that cannot even
            // roll back shows at its next use.
            if let Err(failed) = tx.rollback().await {
                tracing::debug!(error = %failed, "a batch's rollback failed");
            }
            Err(error)
        }
    }
}

fn answer_all<K: BatchKind>(batch: Vec<TicketOf<K>>, answers: Vec<K::Answer>) {
    debug_assert_eq!(batch.len(), answers.len(), "an answer for each request");
    for (ticket, answer) in batch.into_iter().zip(answers) {
        K::count(&answer);
        deliver(ticket.answer, Ok(answer));
    }
}

fn refuse_all<K: BatchKind>(batch: Vec<TicketOf<K>>, error: BatchError) {
    for ticket in batch {
        deliver(ticket.answer, Err(error));
    }
}

/// A waiter may have hung up meanwhile: what was committed stands, and a retry finds it.
fn deliver<A>(waiter: oneshot::Sender<Result<A, BatchError>>, answer: Result<A, BatchError>) {
    if waiter.send(answer).is_err() {
        metrics::counter!("inventory_waiters_gone_total").increment(1);
    }
}

fn record(kind: &'static str, fast: bool, size: usize, started: Instant) {
    let path = if fast { "fast" } else { "exact" };
    let size = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
    metrics::histogram!("inventory_batch_size", "kind" => kind, "path" => path).record(size);
    metrics::histogram!("inventory_batch_duration_seconds", "kind" => kind, "path" => path)
        .record(started.elapsed());
}
