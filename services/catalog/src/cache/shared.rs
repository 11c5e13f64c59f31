use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use ferrocart_redis_kit::deadpool_redis::redis::{Script, pipe};
use ferrocart_redis_kit::{CallError, Redis};
use ferrocart_types::ProductId;

use super::breaker::Breaker;
use super::rendered::{Found, Rendered};

/// How long Redis is left alone after it failed to answer.
const REST: Duration = Duration::from_secs(1);
/// How long a change is remembered under which no older version may be put. Longer than any read from
/// PostgreSQL that began before the change can take.
const TOMBSTONE_MS: u64 = 60_000;
/// How long a replica that reads from PostgreSQL may keep the others waiting, should it die over it.
const CLAIM_MS: u64 = 1_000;
/// How long all replicas know that there is no such product. Short, for ids are asked for at random.
const ABSENT_MS: u64 = 10_000;

/// KEYS[1] product, ARGV version, body, milliseconds to live.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local current = redis.call('HGET', KEYS[1], 'version')
         if current and tonumber(current) > tonumber(ARGV[1]) then return 0 end
         redis.call('HSET', KEYS[1], 'version', ARGV[1], 'body', ARGV[2])
         redis.call('PEXPIRE', KEYS[1], ARGV[3])
         return 1",
    )
});

/// KEYS[1] product, ARGV version, milliseconds to live. The version itself may stand there already. Nobody
/// can have read a first version before: of one Redis has to hear only if it holds that there is no product.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local current = redis.call('HGET', KEYS[1], 'version')
         if current and tonumber(current) >= tonumber(ARGV[1]) then return 0 end
         if not current and tonumber(ARGV[1]) == 1 then return 0 end
         redis.call('DEL', KEYS[1])
         redis.call('HSET', KEYS[1], 'version', ARGV[1])
         redis.call('PEXPIRE', KEYS[1], ARGV[2])
         return 1",
    )
});

/// Products in Redis: a hash `product:{id}` with `version` and `body`. Version 0 without a body says that
/// there is no such product.
#[derive(Debug, Clone)]
pub(crate) struct SharedCache {
    redis: Redis,
    breaker: Arc<Breaker>,
    ttl_seconds: u64,
}

impl SharedCache {
    pub(crate) fn new(redis: Redis, ttl_seconds: u64) -> Self {
        Self {
            redis,
            breaker: Arc::new(Breaker::new(REST)),
            ttl_seconds,
        }
    }

    /// What Redis has of these, in their order. Nothing when Redis does not answer.
    pub(super) async fn get(&self, ids: &[ProductId]) -> Vec<Option<Found>> {
        if self.breaker.is_open() {
            return vec![None; ids.len()];
        }
        let answer = self
            .redis
            .call("product.get", |mut connection| async move {
                let mut pipe = pipe();
                for id in ids {
                    pipe.hget(key(*id), "body");
                }
                pipe.query_async::<Vec<Option<Vec<u8>>>>(&mut connection).await
            })
            .await;
        let Some(bodies) = self.noted(answer) else {
            return vec![None; ids.len()];
        };
        bodies
            .into_iter()
            .zip(ids)
            .map(|(body, id)| {
                let body = Bytes::from(body?);
                if body.is_empty() {
                    return Some(Found::Absent);
                }
                // What cannot be read, such as another release's form, is loaded anew.
                let rendered = Rendered::from_body(body).ok()?;
                (rendered.id == *id).then(|| Found::Product(Arc::new(rendered)))
            })
            .collect()
    }

    /// Keeps these for the next reader, unless newer versions are known; and that there are none with the
    /// other ids.
    pub(super) async fn put(&self, products: &[Arc<Rendered>], absent: &[ProductId]) {
        if (products.is_empty() && absent.is_empty()) || self.breaker.is_open() {
            return;
        }
        let answer = self
            .redis
            .call("product.put", |mut connection| async move {
                let mut pipe = pipe();
                pipe.load_script(&PUT).ignore();
                for product in products {
                    let mut put = PUT.key(key(product.id));
                    put.arg(product.version)
                        .arg(product.body.as_ref())
                        .arg(self.ttl_ms(product.id));
                    pipe.invoke_script(&put).ignore();
                }
                for id in absent {
                    let mut put = PUT.key(key(*id));
                    put.arg(0).arg("").arg(ABSENT_MS);
                    pipe.invoke_script(&put).ignore();
                }
                for id in products
                    .iter()
                    .map(|product| product.id)
                    .chain(absent.iter().copied())
                {
                    pipe.del(claim_key(id)).ignore();
                }
                pipe.query_async::<()>(&mut connection).await
            })
            .await;
        self.noted(answer);
    }

    /// Which of these this replica is to read from PostgreSQL, because no other is reading them. All of them
    /// when Redis does not answer.
    pub(super) async fn claim(&self, ids: &[ProductId]) -> Vec<bool> {
        if self.breaker.is_open() {
            return vec![true; ids.len()];
        }
        let answer = self
            .redis
            .call("product.claim", |mut connection| async move {
                let mut pipe = pipe();
                for id in ids {
                    pipe.cmd("SET")
                        .arg(claim_key(*id))
                        .arg(1)
                        .arg("NX")
                        .arg("PX")
                        .arg(CLAIM_MS);
                }
                pipe.query_async::<Vec<Option<String>>>(&mut connection).await
            })
            .await;
        let answer = self.noted(answer);
        let Some(set) = answer.filter(|set| set.len() == ids.len()) else {
            return vec![true; ids.len()];
        };
        set.iter().map(Option::is_some).collect()
    }

    /// Makes sure that no version older than these is served or put again.
    pub(crate) async fn forget_before(&self, changes: &[(ProductId, i64)]) -> Result<(), CallError> {
        if changes.is_empty() {
            return Ok(());
        }
        // Tried even while reads leave Redis alone: a change that Redis does not hear of is dear.
        let answer = self
            .redis
            .call("product.forget", |mut connection| async move {
                let mut pipe = pipe();
                pipe.load_script(&FORGET).ignore();
                for (id, version) in changes {
                    let mut forget = FORGET.key(key(*id));
                    forget.arg(*version).arg(TOMBSTONE_MS);
                    pipe.invoke_script(&forget).ignore();
                }
                pipe.query_async::<()>(&mut connection).await
            })
            .await;
        match &answer {
            Ok(()) => self.breaker.worked(),
            Err(_) => self.breaker.failed(),
        }
        answer
    }

    fn noted<T>(&self, answer: Result<T, CallError>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.breaker.worked();
                Some(value)
            }
            Err(error) => {
                tracing::warn!(%error, "the product cache in redis is left alone for a moment");
                self.breaker.failed();
                None
            }
        }
    }

    /// A tenth more or less, by the product's id: what was cached together does not expire together.
    fn ttl_ms(&self, id: ProductId) -> u64 {
        let ttl_ms = self.ttl_seconds.saturating_mul(1_000);
        let spread = u128::from((ttl_ms / 5).max(1));
        let jitter = u64::try_from(id.as_uuid().as_u128() % spread).unwrap_or(0);
        ttl_ms - ttl_ms / 10 + jitter
    }
}

fn key(id: ProductId) -> String {
    format!("product:{id}")
}

fn claim_key(id: ProductId) -> String {
    format!("product:{id}:reading")
}
