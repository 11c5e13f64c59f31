use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::bucket::{Bucket, Verdict};

const ENTRIES_MAX: usize = 100_000;

/// Buckets of this process alone. Each is the moment at which it will be full again (GCRA: one number
/// instead of a count and a time).
pub(crate) struct LocalBuckets {
    started: Instant,
    full_at_us: Mutex<HashMap<String, u64>>,
}

impl LocalBuckets {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            full_at_us: Mutex::default(),
        }
    }

    pub(crate) fn take(&self, buckets: &[Bucket]) -> Verdict {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.take_at(buckets, now)
    }

    pub(crate) fn give_back(&self, bucket: &Bucket) {
        let mut full_at = self.full_at_us.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = full_at.get_mut(&bucket.key) {
            *full = full.saturating_sub(bucket.rate.interval_us());
        }
    }

    fn take_at(&self, buckets: &[Bucket], now: u64) -> Verdict {
        let mut full_at = self.full_at_us.lock().unwrap_or_else(PoisonError::into_inner);
        let before: Vec<u64> = buckets
            .iter()
            .map(|bucket| full_at.get(&bucket.key).copied().unwrap_or(now).max(now))
            .collect();
        let wait = buckets
            .iter()
            .zip(&before)
            .map(|(bucket, full)| {
                (full + bucket.rate.interval_us() - now).saturating_sub(bucket.rate.capacity_us())
            })
            .max()
            .unwrap_or(0);
        if wait > 0 {
            let debts: Vec<u64> = before.iter().map(|full| full - now).collect();
            return Verdict::new(buckets, wait, &debts);
        }
        make_room(&mut full_at, now);
        let mut debts = Vec::with_capacity(buckets.len());
        for (bucket, full) in buckets.iter().zip(before) {
            let full = full + bucket.rate.interval_us();
            full_at.insert(bucket.key.clone(), full);
            debts.push(full - now);
        }
        Verdict::new(buckets, 0, &debts)
    }
}

/// Full buckets need no entry. Should that not be enough, all but the global one are forgotten: it still
/// bounds what a flood of addresses can do.
fn make_room(full_at: &mut HashMap<String, u64>, now: u64) {
    if full_at.len() < ENTRIES_MAX {
        return;
    }
    full_at.retain(|_, full| *full > now);
    if full_at.len() >= ENTRIES_MAX {
        full_at.retain(|key, _| key == super::shared::GLOBAL_KEY);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Limit;
    use super::*;

    fn bucket(key: &str, per_second: u32, burst: u32) -> Bucket {
        Bucket {
            name: "user",
            key: key.to_owned(),
            rate: Limit { per_second, burst }.into(),
        }
    }

    #[test]
    fn the_burst_passes_exactly_and_tokens_flow_in_again() {
        let local = LocalBuckets::new();
        let user = [bucket("a", 10, 5)];
        let passed = (0..8).filter(|_| local.take_at(&user, 0).wait.is_none()).count();
        assert_eq!(passed, 5);
        assert_eq!(local.take_at(&user, 99_999).wait.unwrap().as_micros(), 1);
        assert!(local.take_at(&user, 100_000).wait.is_none());
        assert!(local.take_at(&user, 100_000).wait.is_some());
        let passed = (0..8)
            .filter(|_| local.take_at(&user, 10_000_000).wait.is_none())
            .count();
        assert_eq!(passed, 5, "a bucket never holds more than its burst");
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_again() {
        let local = LocalBuckets::new();
        let user = [bucket("a", 1, 2)];
        assert!(local.take_at(&user, 0).wait.is_none());
        assert!(local.take_at(&user, 0).wait.is_none());
        assert!(local.take_at(&user, 0).wait.is_some());
        local.give_back(&user[0]);
        assert!(local.take_at(&user, 0).wait.is_none());
        assert!(local.take_at(&user, 0).wait.is_some());
    }

    #[test]
    fn what_one_bucket_refuses_costs_the_others_nothing() {
        let local = LocalBuckets::new();
        let both = [bucket("wide", 1, 10), bucket("narrow", 1, 1)];
        assert!(local.take_at(&both, 0).wait.is_none());
        for _ in 0..20 {
            assert!(local.take_at(&both, 0).wait.is_some());
        }
        let wide = [bucket("wide", 1, 10)];
        let passed = (0..20).filter(|_| local.take_at(&wide, 0).wait.is_none()).count();
        assert_eq!(passed, 9);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_stays_limited() {
        let local = LocalBuckets::new();
        let global = bucket(super::super::shared::GLOBAL_KEY, 1, 150_000);
        let mut passed = 0;
        for address in 0..200_000 {
            let buckets = [global.clone(), bucket(&address.to_string(), 1, 1)];
            passed += usize::from(local.take_at(&buckets, 0).wait.is_none());
        }
        assert_eq!(passed, 150_000);
        assert!(local.full_at_us.lock().unwrap().len() <= ENTRIES_MAX + 2);
    }
}
