//! Token buckets, in Redis for all instances together, in this process while Redis is away.

mod bucket;
mod local;
mod shared;

use ferrocart_redis_kit::{Breaker, Redis};

pub(crate) use bucket::{Bucket, Rate, Tier, Verdict};
pub use bucket::{Limit, LimitSettings, RouteLimit};

use local::LocalBuckets;
use shared::SharedBuckets;

/// Decides whether a request may pass.
pub(crate) struct Limiter {
    shared: SharedBuckets,
    local: LocalBuckets,
    breaker: Breaker,
}

impl Limiter {
    pub(crate) const GLOBAL_KEY: &str = shared::GLOBAL_KEY;

    pub(crate) fn new(redis: Redis) -> Self {
        Self {
            shared: SharedBuckets::new(redis),
            local: LocalBuckets::new(),
            breaker: Breaker::new(),
        }
    }

    /// Takes a token from every bucket, or from none. Never fails and never waits long: without Redis this
    /// process limits alone.
    pub(crate) async fn take(&self, buckets: &[Bucket]) -> Verdict {
        if self.breaker.lets_pass() {
            match self.shared.take(buckets).await {
                Ok(verdict) => {
                    if self.breaker.succeeded() {
                        tracing::info!("rate limits are shared through redis again");
                    }
                    return verdict;
                }
                Err(error) => {
                    if self.breaker.failed() {
                        tracing::warn!(%error, "redis is away: this process limits alone");
                    }
                }
            }
        }
        metrics::counter!("rate_limit_local_total").increment(1);
        self.local.take(buckets)
    }

    /// Gives a bucket the token back that was taken from it. A Redis that is away forgets it: the bucket fills by itself.
    pub(crate) async fn give_back(&self, bucket: &Bucket) {
        self.local.give_back(bucket);
        if self.breaker.lets_pass()
            && let Err(error) = self.shared.give_back(bucket).await
        {
            tracing::debug!(%error, "a token was not given back");
        }
    }
}
