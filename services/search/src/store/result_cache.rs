use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_redis_kit::{CallError, Redis};

/// After a failure Redis is left alone for so long: with it away, a request does not wait for it twice.
const REST: Duration = Duration::from_secs(1);
/// A larger answer is not worth keeping.
const BYTES_MAX: usize = 512 * 1024;

/// Answers of searches, in Redis. The key names the index's generation, so a commit makes all of them
/// obsolete at once; they then go with their time to live. Without Redis nothing is kept and all works.
pub(crate) struct ResultCache {
    redis: Redis,
    ttl: Duration,
    resting_until: Mutex<Option<Instant>>,
}

impl ResultCache {
    pub(crate) fn new(redis: Redis, ttl: Duration) -> Self {
        Self {
            redis,
            ttl,
            resting_until: Mutex::new(None),
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Bytes> {
        if self.rests() {
            count("bypassed");
            return None;
        }
        let answer = self
            .redis
            .call("search_cache_get", |mut connection| async move {
                redis::cmd("GET")
                    .arg(key)
                    .query_async::<Option<Vec<u8>>>(&mut connection)
                    .await
            })
            .await;
        let found = self.noting_failure(answer).flatten();
        count(if found.is_some() { "hit" } else { "miss" });
        found.map(Bytes::from)
    }

    pub(crate) async fn put(&self, key: &str, answer: &Bytes) {
        if answer.len() > BYTES_MAX || self.rests() {
            return;
        }
        let stored = self
            .redis
            .call("search_cache_put", |mut connection| async move {
                redis::cmd("SET")
                    .arg(key)
                    .arg(answer.as_ref())
                    .arg("EX")
                    .arg(self.ttl.as_secs())
                    .query_async::<()>(&mut connection)
                    .await
            })
            .await;
        self.noting_failure(stored);
    }

    fn rests(&self) -> bool {
        let resting_until = self.resting_until.lock().ok().and_then(|until| *until);
        resting_until.is_some_and(|until| Instant::now() < until)
    }

    fn noting_failure<T>(&self, answer: Result<T, CallError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, "the result cache is passed over");
                if let Ok(mut until) = self.resting_until.lock() {
                    *until = Some(Instant::now() + REST);
                }
                None
            }
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("search_cache_total", "result" => result).increment(1);
}
