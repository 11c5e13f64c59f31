//! Requests that share a transaction: those that arrive while a commit is under way form the next batch.
//!
//! A lone request is run at once. While batches have company, a small one waits as long as the last commit
//! took, for more of them to come: it costs each a fraction of what it waits for anyway, and the database half
//! of its commits. That is what PostgreSQL's `commit_delay` does for the log's flush alone, for all of the
//! transaction.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::StoreError;

/// How long a request waits for its answer. Connections and statements have deadlines of their own; this is
/// for a database that has stopped answering altogether.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this a lane gives a batch up, with its connection, and goes on.
const BATCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that may wait, in batches; more of them wait outside.
const QUEUE_BATCHES: usize = 8;
/// A batch as large as that goes without waiting for more.
const COMPANY_MAX: usize = 8;
/// The longest that a batch waits for more, however slow commits are.
const GATHER_MAX: Duration = Duration::from_millis(10);

/// What is done for many at once.
pub trait Batch: Send + Sync + 'static {
    /// Stands in metrics and logs.
    const NAME: &'static str;
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;
    type Error: From<StoreError> + fmt::Display + Send + 'static;

    /// Does all in one transaction and answers each, in order, or does nothing. One item alone must be
    /// answered as if there were no batches.
    fn run<'a>(&'a self, items: &'a [Self::Item]) -> BoxFuture<'a, Result<Vec<Self::Answer>, Self::Error>>;

    /// Whether the database was away or its answer was lost. Then all are told: what became of the batch is
    /// not known, so it must not be run again here. After any other error it is halved, until those that
    /// fail alone are found.
    fn is_unavailable(error: &Self::Error) -> bool;
}

/// Hands requests to a few lanes, each of which runs one batch at a time; cheap to clone.
pub struct Combiner<B: Batch> {
    queue: mpsc::Sender<Job<B>>,
}

impl<B: Batch> Clone for Combiner<B> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<B: Batch> fmt::Debug for Combiner<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combiner")
            .field("batch", &B::NAME)
            .finish_non_exhaustive()
    }
}

type Reply<B> = oneshot::Sender<Result<<B as Batch>::Answer, <B as Batch>::Error>>;

struct Job<B: Batch> {
    item: B::Item,
    reply: Reply<B>,
}

impl<B: Batch> Combiner<B> {
    /// Starts the lanes, which end when the last clone is dropped.
    pub fn start(batch: B, lanes: usize, batch_max: usize) -> Self {
        let batch_max = batch_max.max(1);
        let (queue, jobs) = mpsc::channel(batch_max * QUEUE_BATCHES);
        let (batch, jobs) = (Arc::new(batch), Arc::new(Mutex::new(jobs)));
        for _ in 0..lanes.max(1) {
            ferrocart_telemetry::spawn(B::NAME, work(Arc::clone(&batch), Arc::clone(&jobs), batch_max));
        }
        Self { queue }
    }

    /// Runs the item with whatever else is there. Once it is handed over it may be done even if the caller
    /// does not wait for it.
    pub async fn run(&self, item: B::Item) -> Result<B::Answer, B::Error> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.queue.send(Job { item, reply }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err(unavailable::<B>("no answer from the batch").into()),
        }
    }
}

fn unavailable<B: Batch>(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable {
        operation: B::NAME,
        reason: reason.into(),
    }
}

async fn work<B: Batch>(batch: Arc<B>, jobs: Arc<Mutex<mpsc::Receiver<Job<B>>>>, batch_max: usize) {
    let mut gather = Duration::ZERO;
    loop {
        // One lane waits for work, the others for it: whoever is free takes all that is there.
        let taken = next(&mut *jobs.lock().await, batch_max, gather).await;
        if taken.is_empty() {
            return;
        }
        let jobs = taken.into_iter().filter(|job| !job.reply.is_closed());
        let (items, replies): (Vec<_>, Vec<_>) = jobs.map(|job| (job.item, job.reply)).unzip();
        let (company, began) = (items.len() > 1, Instant::now());
        if !items.is_empty() {
            settle(batch.as_ref(), items, replies).await;
        }
        gather = if company {
            began.elapsed().min(GATHER_MAX)
        } else {
            Duration::ZERO
        };
    }
}

/// What is there, as soon as something is; a small batch waits that long for more. Empty when nobody can ask
/// any more.
async fn next<B: Batch>(
    jobs: &mut mpsc::Receiver<Job<B>>,
    batch_max: usize,
    gather: Duration,
) -> Vec<Job<B>> {
    let mut taken = Vec::new();
    jobs.recv_many(&mut taken, batch_max).await;
    let enough = COMPANY_MAX.min(batch_max);
    if !gather.is_zero() && (1..enough).contains(&taken.len()) {
        let more = async {
            while taken.len() < enough {
                let room = batch_max - taken.len();
                if jobs.recv_many(&mut taken, room).await == 0 {
                    return;
                }
            }
        };
        tokio::time::timeout(gather, more).await.ok();
    }
    taken
}

/// Answers all. At most as many parts are open as the batch can be halved.
async fn settle<B: Batch>(batch: &B, items: Vec<B::Item>, replies: Vec<Reply<B>>) {
    let mut parts = vec![(items, replies)];
    while let Some((mut items, mut replies)) = parts.pop() {
        metrics::histogram!("pg_batch_size", "batch" => B::NAME)
            .record(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        let run = AssertUnwindSafe(batch.run(&items)).catch_unwind();
        // Those who wait see their answer's sender go.
        let Ok(outcome) = tokio::time::timeout(BATCH_TIMEOUT, run).await else {
            tracing::error!(batch = B::NAME, items = replies.len(), "a batch was given up");
            continue;
        };
        match outcome {
            Ok(Ok(answers)) if answers.len() == replies.len() => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    send::<B>(reply, Ok(answer));
                }
            }
            Ok(Ok(answers)) => {
                tracing::error!(
                    batch = B::NAME,
                    answers = answers.len(),
                    items = replies.len(),
                    "a batch lacks answers"
                );
            }
            Ok(Err(error)) if B::is_unavailable(&error) => {
                for reply in replies {
                    send::<B>(reply, Err(unavailable::<B>(error.to_string()).into()));
                }
            }
            Ok(Err(error)) if replies.len() > 1 => {
                tracing::debug!(batch = B::NAME, items = replies.len(), %error, "a batch is halved");
                let half = replies.len() / 2;
                let later = (items.split_off(half), replies.split_off(half));
                parts.push(later);
                parts.push((items, replies));
            }
            Ok(Err(error)) => {
                if let Some(reply) = replies.pop() {
                    send::<B>(reply, Err(error));
                }
            }
            Err(_) => tracing::error!(batch = B::NAME, "a batch panicked"),
        }
    }
}

fn send<B: Batch>(reply: Reply<B>, answer: Result<B::Answer, B::Error>) {
    if reply.send(answer).is_err() {
        tracing::trace!(batch = B::NAME, "nobody waits for the answer any more");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers when it is let; refuses a batch that holds a 13, is away for 7s, and panics at 666.
    struct Doubling {
        lets: Arc<Semaphore>,
        batches: Arc<StdMutex<Vec<Vec<u32>>>>,
    }

    impl Batch for Doubling {
        const NAME: &'static str = "doubling";
        type Item = u32;
        type Answer = u32;
        type Error = StoreError;

        fn run<'a>(&'a self, items: &'a [u32]) -> BoxFuture<'a, Result<Vec<u32>, StoreError>> {
            Box::pin(async move {
                self.lets.acquire().await.unwrap().forget();
                self.batches.lock().unwrap().push(items.to_vec());
                assert!(!items.contains(&666), "an unlucky number");
                if items.contains(&7) {
                    return Err(StoreError::from(sqlx::Error::PoolTimedOut));
                }
                if items.contains(&13) {
                    return Err(StoreError::RowCount {
                        operation: "doubling",
                        expected: 1,
                        actual: 0,
                    });
                }
                Ok(items.iter().map(|item| item * 2).collect())
            })
        }

        fn is_unavailable(error: &StoreError) -> bool {
            error.is_unavailable()
        }
    }

    type Batches = Arc<StdMutex<Vec<Vec<u32>>>>;

    /// The answers to requests that all arrive while the first is held up, and the batches they were in.
    async fn answers(items: &[u32]) -> (Vec<Result<u32, StoreError>>, Vec<Vec<u32>>) {
        let (lets, batches) = (Arc::new(Semaphore::new(0)), Batches::default());
        let combiner = Combiner::start(
            Doubling {
                lets: Arc::clone(&lets),
                batches: Arc::clone(&batches),
            },
            1,
            16,
        );
        let open = async {
            tokio::task::yield_now().await;
            lets.add_permits(1_000);
        };
        let (answers, ()) = tokio::join!(join_all(items.iter().map(|item| combiner.run(*item))), open);
        let batches = batches.lock().unwrap().clone();
        (answers, batches)
    }

    #[tokio::test]
    async fn what_arrives_meanwhile_shares_a_batch_that_is_bounded() {
        let items: Vec<u32> = (100..140).collect();
        let (answers, batches) = answers(&items).await;
        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(batches.len() <= 4, "{batches:?}");
        assert!(batches.iter().all(|batch| batch.len() <= 16), "{batches:?}");
    }

    async fn queued(count: u32, sender: &mpsc::Sender<Job<Doubling>>) {
        for item in 0..count {
            let (reply, _) = oneshot::channel();
            assert!(sender.send(Job { item, reply }).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_batch_that_had_company_waits_for_more_but_not_for_long() {
        let (sender, mut jobs) = mpsc::channel(64);
        let late = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            queued(2, &sender).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
            queued(1, &sender).await;
        };
        queued(1, &sender).await;
        let (batch, ()) = tokio::join!(next(&mut jobs, 16, Duration::from_millis(5)), late);
        assert_eq!(batch.len(), 3, "who came in time, and not who came later");
        assert_eq!(next(&mut jobs, 16, Duration::ZERO).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_request_and_a_large_batch_wait_for_nobody() {
        let (sender, mut jobs) = mpsc::channel(64);
        let began = tokio::time::Instant::now();
        queued(1, &sender).await;
        assert_eq!(next(&mut jobs, 16, Duration::ZERO).await.len(), 1);
        queued(u32::try_from(COMPANY_MAX).unwrap(), &sender).await;
        assert_eq!(
            next(&mut jobs, 16, Duration::from_secs(1)).await.len(),
            COMPANY_MAX
        );
        assert_eq!(began.elapsed(), Duration::ZERO, "by the paused clock");
    }

    #[tokio::test]
    async fn one_that_fails_alone_fails_alone() {
        let (answers, _) = answers(&[1, 2, 13, 3, 4, 5]).await;
        for (item, answer) in [1, 2, 13, 3, 4, 5].into_iter().zip(answers) {
            match answer {
                Ok(doubled) => assert_eq!(doubled, item * 2),
                Err(error) => {
                    assert_eq!(item, 13);
                    assert!(matches!(error, StoreError::RowCount { .. }), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_not_done_again() {
        let (answers, batches) = answers(&[1, 7, 2, 3]).await;
        let with_seven: Vec<_> = batches.iter().filter(|batch| batch.contains(&7)).collect();
        assert_eq!(with_seven.len(), 1, "{batches:?}");
        for item in with_seven[0] {
            let place = [1, 7, 2, 3].iter().position(|sent| sent == item).unwrap();
            assert!(answers[place].as_ref().unwrap_err().is_unavailable());
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_lane_goes_on() {
        let (answers, _) = answers(&[666]).await;
        assert!(answers[0].as_ref().unwrap_err().is_unavailable());
        let lets = Arc::new(Semaphore::new(10));
        let combiner = Combiner::start(
            Doubling {
                lets,
                batches: Batches::default(),
            },
            1,
            16,
        );
        combiner.run(666).await.unwrap_err();
        assert_eq!(combiner.run(4).await.unwrap(), 8);
    }
}
