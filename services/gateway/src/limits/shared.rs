use ferrocart_redis_kit::deadpool_redis::redis::Script;
use ferrocart_redis_kit::{CallError, Redis};

use super::bucket::{Bucket, Verdict};

/// The hash tag keeps the buckets of a request in one slot of a cluster, where one script can reach them.
pub(crate) const GLOBAL_KEY: &str = "{limits}:global";

/// Buckets that all instances share.
pub(crate) struct SharedBuckets {
    redis: Redis,
    script: Script,
    give_back: Script,
}

impl SharedBuckets {
    pub(crate) fn new(redis: Redis) -> Self {
        Self {
            redis,
            script: Script::new(include_str!("take.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
        }
    }

    pub(crate) async fn take(&self, buckets: &[Bucket]) -> Result<Verdict, CallError> {
        let mut call = self.script.prepare_invoke();
        for bucket in buckets {
            call.key(&bucket.key)
                .arg(bucket.rate.interval_us())
                .arg(bucket.rate.capacity_us());
        }
        let answer: Vec<u64> = self
            .redis
            .call("limit", |mut connection| async move {
                call.invoke_async(&mut connection).await
            })
            .await?;
        let (wait, debts) = answer
            .split_first()
            .map_or((0, &[][..]), |(wait, debts)| (*wait, debts));
        Ok(Verdict::new(buckets, wait, debts))
    }

    pub(crate) async fn give_back(&self, bucket: &Bucket) -> Result<(), CallError> {
        let mut call = self.give_back.prepare_invoke();
        call.key(&bucket.key).arg(bucket.rate.interval_us());
        self.redis
            .call("unlimit", |mut connection| async move {
                call.invoke_async(&mut connection).await
            })
            .await
    }
}
