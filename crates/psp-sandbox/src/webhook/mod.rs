//! Delivery of events to the webhook endpoint: beside the requests, never in their way.
//!
//! Every intent has a lane: its events go out one after the other, and the next waits until the
//! endpoint has taken the one before. Lanes go in parallel. What is not taken is tried again with
//! growing pauses; the ledger remembers what was taken, so that a restart goes on.

pub(crate) mod sign;

use crate::domain::method::Quirk;
use crate::ledger::tables::Event;
use crate::ledger::{EventSink, Ledger};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

const CONCURRENCY: usize = 32;
/// An endpoint that takes longer has not taken the event.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Short, so that a shop that came back is up to date within seconds.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// More than a day of trying every five seconds; Stripe gives up after three days.
const ATTEMPTS_MAX: u32 = 20_000;
/// How long the reordering method's events wait for later ones.
const REORDER_HOLD: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) secret: String,
}

#[derive(Debug)]
struct Lane {
    queue: VecDeque<Event>,
    quirk: Quirk,
    attempts: u32,
    /// When the lane is to be served; `None` while it is.
    due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Lanes {
    lanes: HashMap<String, Lane>,
    due: BTreeSet<(Instant, String)>,
}

/// The queue in memory. The durable one is the ledger's.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: Mutex<Lanes>,
    wake: Notify,
}

struct Job {
    lane: String,
    event: Event,
    quirk: Quirk,
}

enum Next {
    Job(Job),
    At(Instant),
    Idle,
}

impl EventSink for Outbox {
    fn push(&self, event: Event, quirk: Quirk) {
        self.lanes().push(event, quirk);
        self.wake.notify_one();
    }
}

impl Lanes {
    fn push(&mut self, event: Event, quirk: Quirk) {
        let hold = if quirk == Quirk::WebhookReordered {
            REORDER_HOLD
        } else {
            Duration::ZERO
        };
        let id = event.head.intent.clone();
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.queue.push_back(event);
            return;
        }
        let due = Instant::now() + hold;
        self.due.insert((due, id.clone()));
        self.lanes.insert(
            id,
            Lane {
                queue: [event].into(),
                quirk,
                attempts: 0,
                due: Some(due),
            },
        );
    }

    fn next(&mut self, now: Instant) -> Next {
        let Some((due, id)) = self.due.first().cloned() else {
            return Next::Idle;
        };
        if due > now {
            return Next::At(due);
        }
        self.due.pop_first();
        let Some(lane) = self.lanes.get_mut(&id) else {
            return Next::At(now);
        };
        lane.due = None;
        let newest_first = lane.quirk == Quirk::WebhookReordered;
        let event = if newest_first {
            lane.queue.pop_back()
        } else {
            lane.queue.pop_front()
        };
        let Some(event) = event else {
            self.lanes.remove(&id);
            return Next::At(now);
        };
        Next::Job(Job {
            quirk: lane.quirk,
            lane: id,
            event,
        })
    }

    /// Puts the lane back: at once behind a delivery, later behind a failure.
    fn finish(&mut self, job: Job, taken: bool) -> Finished {
        let Some(lane) = self.lanes.get_mut(&job.lane) else {
            return Finished::Over;
        };
        lane.attempts = if taken { 0 } else { lane.attempts.saturating_add(1) };
        let given_up = lane.attempts >= ATTEMPTS_MAX;
        if given_up {
            lane.attempts = 0;
        }
        let over = taken || given_up;
        if !over {
            // Back to the end it was taken from.
            if lane.quirk == Quirk::WebhookReordered {
                lane.queue.push_back(job.event);
            } else {
                lane.queue.push_front(job.event);
            }
        }
        if lane.queue.is_empty() {
            self.lanes.remove(&job.lane);
        } else {
            let due = Instant::now()
                + if over {
                    Duration::ZERO
                } else {
                    backoff(lane.attempts)
                };
            lane.due = Some(due);
            self.due.insert((due, job.lane));
        }
        if over { Finished::Over } else { Finished::Again }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Finished {
    Over,
    Again,
}

fn backoff(attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}

impl Outbox {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that wait, for the control endpoint.
    pub(crate) fn waiting(&self) -> usize {
        self.lanes().lanes.values().map(|lane| lane.queue.len()).sum()
    }
}

/// What the deliveries share.
struct Courier {
    outbox: Arc<Outbox>,
    ledger: Arc<Ledger>,
    endpoint: Endpoint,
    client: reqwest::Client,
}

/// Runs until it is aborted, which ends the deliveries under way as well.
pub(crate) async fn run(
    outbox: Arc<Outbox>,
    ledger: Arc<Ledger>,
    endpoint: Endpoint,
    mut paused: watch::Receiver<bool>,
) {
    let client = match reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no webhook can be delivered: no HTTP client");
            return;
        }
    };
    let courier = Arc::new(Courier {
        outbox,
        ledger,
        endpoint,
        client,
    });
    let slots = Arc::new(Semaphore::new(CONCURRENCY));
    let mut deliveries = JoinSet::new();
    loop {
        if paused.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        while deliveries.try_join_next().is_some() {}
        let next = courier.outbox.lanes().next(Instant::now());
        match next {
            Next::Job(job) => {
                let courier = Arc::clone(&courier);
                deliveries.spawn(async move {
                    courier.serve(job).await;
                    drop(slot);
                });
            }
            Next::At(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = courier.outbox.wake.notified() => {}
                }
            }
            Next::Idle => courier.outbox.wake.notified().await,
        }
    }
}

impl Courier {
    async fn serve(&self, job: Job) {
        let (seq, id) = (job.event.head.seq, job.event.head.id.clone());
        let times = if job.quirk == Quirk::WebhookDuplicated {
            2
        } else {
            1
        };
        let mut taken = true;
        for _ in 0..times {
            taken = taken && self.deliver(&job).await;
        }
        let finished = self.outbox.lanes().finish(job, taken);
        if finished == Finished::Over {
            if !taken {
                tracing::warn!(event = %id, "the webhook endpoint never took the event; given up");
            }
            self.ledger.delivered(seq);
        }
        self.outbox.wake.notify_one();
    }

    /// Whether the endpoint took the event.
    async fn deliver(&self, job: &Job) -> bool {
        // The endpoint must not hear of what a crash could still undo: `read` waits for the disk.
        let payload = match self.ledger.journal.read(job.event.body).await {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(event = %job.event.head.id, %error, "the event could not be read back");
                return false;
            }
        };
        let signature = sign::signature(&self.endpoint.secret, self.ledger.now_s(), &payload);
        let sent = self
            .client
            .post(&self.endpoint.url)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("stripe-signature", signature)
            .body(payload)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                tracing::debug!(event = %job.event.head.id, status = %answer.status(), "webhook not taken");
                false
            }
            Err(error) => {
                tracing::debug!(event = %job.event.head.id, %error, "webhook not delivered");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::journal::Blob;
    use crate::ledger::record::EventHead;

    fn event(intent: &str, seq: u64) -> Event {
        let head = EventHead {
            id: format!("evt_{seq}"),
            seq,
            kind: "x".to_owned(),
            intent: intent.to_owned(),
            at: 0,
            hook: true,
        };
        Event {
            head,
            body: Blob { offset: 0, len: 0 },
        }
    }

    fn take(lanes: &mut Lanes) -> Option<Job> {
        match lanes.next(Instant::now() + REORDER_HOLD) {
            Next::Job(job) => Some(job),
            Next::At(_) | Next::Idle => None,
        }
    }

    #[test]
    fn a_lane_waits_for_its_head_and_the_others_do_not() {
        let mut lanes = Lanes::default();
        for (intent, seq) in [("pi_a", 1), ("pi_a", 2), ("pi_b", 3)] {
            lanes.push(event(intent, seq), Quirk::None);
        }
        let head = take(&mut lanes).unwrap();
        assert_eq!(head.event.head.seq, 1);
        assert_eq!(take(&mut lanes).unwrap().event.head.seq, 3);
        assert!(take(&mut lanes).is_none(), "the lane is under way");
        assert_eq!(lanes.finish(head, false), Finished::Again);
        let again = take(&mut lanes).unwrap();
        assert_eq!(again.event.head.seq, 1, "a failure keeps its place");
        lanes.finish(again, true);
        assert_eq!(take(&mut lanes).unwrap().event.head.seq, 2);
    }

    #[test]
    fn the_reordering_method_goes_newest_first() {
        let mut lanes = Lanes::default();
        for seq in 1..=3 {
            lanes.push(event("pi_a", seq), Quirk::WebhookReordered);
        }
        let mut order = Vec::new();
        while let Some(job) = take(&mut lanes) {
            order.push(job.event.head.seq);
            lanes.finish(job, true);
        }
        assert_eq!(order, [3, 2, 1]);
        assert!(lanes.lanes.is_empty() && lanes.due.is_empty());
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        assert_eq!(backoff(1), BACKOFF_FIRST);
        assert!(backoff(2) > backoff(1));
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
