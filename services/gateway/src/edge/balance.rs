//! Which of a service's replicas gets a request: the one with the fewest under way, of those that answer.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A replica that failed again right after its return stays away longer each time, up to so many times as long.
const EJECTION_FACTOR_MAX: u32 = 10;

/// When a replica is given a rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EjectionPolicy {
    /// So many failures in a row.
    pub(crate) failures: u32,
    pub(crate) time: Duration,
    /// At most this part of the replicas at once, so that one that is asked for the impossible does not take all
    /// of them down.
    pub(crate) percent_max: usize,
}

/// One address of a service.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) base_url: String,
    in_flight: AtomicUsize,
    failures: AtomicU32,
    /// How often in a row it was ejected.
    ejections: AtomicU32,
    /// Milliseconds since the balancer's start; 0 while it takes part.
    ejected_until_ms: AtomicU64,
    /// What it said of itself when it was last asked.
    is_ready: AtomicBool,
}

impl Replica {
    fn new(base_url: String) -> Self {
        Self {
            base_url,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            is_ready: AtomicBool::new(true),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }
}

/// The replicas of one service.
#[derive(Debug)]
pub(crate) struct Balancer {
    service: &'static str,
    replicas: Vec<Arc<Replica>>,
    /// Ties are broken in turn.
    turn: AtomicUsize,
    started: Instant,
    policy: EjectionPolicy,
    /// So that two failures at once do not eject more than may be.
    ejecting: Mutex<()>,
}

/// A request under way to a replica.
#[derive(Debug)]
pub(crate) struct UnderWay {
    replica: Arc<Replica>,
}

impl UnderWay {
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balancer {
    pub(crate) fn new(service: &'static str, base_urls: Vec<String>, policy: EjectionPolicy) -> Self {
        Self {
            service,
            replicas: base_urls.into_iter().map(Replica::new).map(Arc::new).collect(),
            turn: AtomicUsize::new(0),
            started: Instant::now(),
            policy,
            ejecting: Mutex::default(),
        }
    }

    pub(crate) fn replicas(&self) -> &[Arc<Replica>] {
        &self.replicas
    }

    /// The replica for a request, preferably none of those that it was sent to before. Should none be well, all
    /// are asked: what they say of themselves may be wrong, and there is nobody else.
    pub(crate) fn pick(&self, tried: &[Arc<Replica>]) -> Option<UnderWay> {
        let now = self.now_ms();
        let is_new = |replica: &Arc<Replica>| !tried.iter().any(|other| Arc::ptr_eq(other, replica));
        let replica = self
            .least_busy(|replica| is_new(replica) && replica.is_ready() && !is_ejected(replica, now))
            .or_else(|| self.least_busy(|replica| is_new(replica) && !is_ejected(replica, now)))
            .or_else(|| self.least_busy(is_new))
            .or_else(|| self.least_busy(|_| true))?;
        replica.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay { replica })
    }

    fn least_busy(&self, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Arc<Replica>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.replicas.len();
        (0..count)
            .filter_map(|offset| self.replicas.get(first.wrapping_add(offset) % count))
            .filter(|replica| may(replica))
            // The first of the smallest ones.
            .min_by_key(|replica| replica.in_flight.load(Ordering::Relaxed))
            .cloned()
    }

    /// It gave an answer of its own.
    pub(crate) fn succeeded(&self, replica: &Replica) {
        if replica.failures.load(Ordering::Relaxed) != 0 {
            replica.failures.store(0, Ordering::Relaxed);
        }
        if replica.ejections.load(Ordering::Relaxed) != 0 && !is_ejected(replica, self.now_ms()) {
            replica.ejections.store(0, Ordering::Relaxed);
            tracing::info!(
                upstream = self.service,
                replica = replica.base_url,
                "a replica answers again"
            );
        }
    }

    /// It gave no answer, or said that it cannot serve.
    pub(crate) fn failed(&self, replica: &Replica) {
        let failures = replica.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < self.policy.failures {
            return;
        }
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now_ms();
        let ejected = self
            .replicas
            .iter()
            .filter(|other| is_ejected(other, now))
            .count();
        let may = self.replicas.len() * self.policy.percent_max / 100;
        if is_ejected(replica, now) || ejected >= may {
            return;
        }
        let times = replica
            .ejections
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let time = self.policy.time * times.min(EJECTION_FACTOR_MAX);
        let until = now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        replica.ejected_until_ms.store(until.max(1), Ordering::Relaxed);
        replica.failures.store(0, Ordering::Relaxed);
        metrics::counter!("upstream_ejections_total", "service" => self.service).increment(1);
        tracing::warn!(
            upstream = self.service,
            replica = replica.base_url,
            seconds = time.as_secs(),
            "a replica failed again and again and is not asked for a while"
        );
    }

    pub(crate) fn is_ejected(&self, replica: &Replica) -> bool {
        is_ejected(replica, self.now_ms())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn is_ejected(replica: &Replica, now_ms: u64) -> bool {
    replica.ejected_until_ms.load(Ordering::Relaxed) > now_ms
}

/// What retries may cost: a part of the requests that there are, so that an outage is not made worse by them.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    percent: u64,
    /// In hundredths of a retry.
    balance: AtomicU64,
}

const RETRY: u64 = 100;
/// After a quiet time there is something to begin with, in retries.
const BALANCE_FIRST: u64 = 10;
const BALANCE_MAX: u64 = 100;

impl RetryBudget {
    pub(crate) fn new(percent: u32) -> Self {
        let first = if percent == 0 { 0 } else { BALANCE_FIRST * RETRY };
        Self {
            percent: percent.into(),
            balance: AtomicU64::new(first),
        }
    }

    /// A request was made.
    pub(crate) fn earn(&self) {
        let add = |balance: u64| Some((balance + self.percent).min(BALANCE_MAX * RETRY));
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok();
    }

    /// Whether there may be one more retry.
    pub(crate) fn spend(&self) -> bool {
        let take = |balance: u64| balance.checked_sub(RETRY);
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(count: usize) -> Balancer {
        let urls = (0..count).map(|number| format!("http://{number}")).collect();
        let policy = EjectionPolicy {
            failures: 3,
            time: Duration::from_hours(1),
            percent_max: 50,
        };
        Balancer::new("catalog", urls, policy)
    }

    fn fail(balancer: &Balancer, number: usize, times: usize) {
        for _ in 0..times {
            balancer.failed(&balancer.replicas[number]);
        }
    }

    fn picked(balancer: &Balancer) -> Vec<String> {
        (0..40)
            .map(|_| balancer.pick(&[]).unwrap().replica().base_url.clone())
            .collect()
    }

    #[test]
    fn the_one_with_the_fewest_under_way_is_next_and_ties_go_round() {
        let balancer = balancer(3);
        let held: Vec<_> = (0..3).map(|_| balancer.pick(&[]).unwrap()).collect();
        let mut urls: Vec<_> = held.iter().map(|way| way.replica().base_url.as_str()).collect();
        urls.sort_unstable();
        assert_eq!(urls, ["http://0", "http://1", "http://2"]);
        let mut held = held.into_iter();
        let free = held.next().unwrap().replica().base_url.clone();
        for _ in 0..5 {
            assert_eq!(balancer.pick(&[]).unwrap().replica().base_url, free);
        }
    }

    #[test]
    fn a_replica_that_fails_in_a_row_rests_and_never_more_than_half_of_them() {
        let balancer = balancer(2);
        fail(&balancer, 0, 2);
        balancer.succeeded(&balancer.replicas[0]);
        fail(&balancer, 0, 2);
        assert!(
            !balancer.is_ejected(&balancer.replicas[0]),
            "these were not in a row"
        );
        fail(&balancer, 0, 1);
        assert!(picked(&balancer).iter().all(|url| url == "http://1"));
        fail(&balancer, 1, 9);
        assert!(
            picked(&balancer).iter().all(|url| url == "http://1"),
            "the last one went as well"
        );
    }

    #[test]
    fn the_only_replica_is_never_given_up() {
        let balancer = balancer(1);
        fail(&balancer, 0, 100);
        balancer.replicas[0].set_ready(false);
        assert!(balancer.pick(&[]).is_some());
        assert!(balancer.pick(&[Arc::clone(&balancer.replicas[0])]).is_some());
    }

    #[test]
    fn a_second_try_goes_elsewhere_and_first_to_who_says_that_it_is_ready() {
        let balancer = balancer(3);
        balancer.replicas[1].set_ready(false);
        let first = Arc::clone(&balancer.replicas[0]);
        for _ in 0..10 {
            let again = balancer.pick(std::slice::from_ref(&first)).unwrap();
            assert_eq!(again.replica().base_url, "http://2");
        }
    }

    #[test]
    fn retries_are_a_part_of_the_requests() {
        let budget = RetryBudget::new(20);
        let first = (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(first, 10);
        for _ in 0..50 {
            budget.earn();
        }
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 10);
        for _ in 0..100_000 {
            budget.earn();
        }
        assert_eq!(
            (0..1_000).filter(|_| budget.spend()).count(),
            100,
            "a quiet day saves up no storm"
        );
        assert!(!RetryBudget::new(0).spend());
    }
}
