//! Redis as every service uses it: a bounded pool, and a deadline on every call, so that a Redis that
//! is down, slow or paused costs a caller no more than that deadline.

use std::future::Future;
use std::time::Duration;

use deadpool_redis::redis::{self, RedisError};
use deadpool_redis::{Config, Connection, CreatePoolError, Pool, PoolConfig, PoolError, Runtime, Timeouts};
use serde::Deserialize;

pub use deadpool_redis;

/// How a service reaches Redis; part of the service's settings.
#[derive(Debug, Clone, Deserialize)]
pub struct RedisSettings {
    /// `redis://host:port/database`
    pub redis_url: String,
    pub redis_pool_max: usize,
    /// Bounds one call, the wait for a connection included.
    pub redis_timeout_ms: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    #[error("no connection to redis: {0}")]
    Pool(#[from] PoolError),
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
}

/// A pool whose every call has a deadline.
#[derive(Clone)]
pub struct Redis {
    pool: Pool,
    timeout: Duration,
}

impl Redis {
    /// Connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Result<Self, CreatePoolError> {
        let timeout = Duration::from_millis(settings.redis_timeout_ms);
        let mut config = Config::from_url(&settings.redis_url);
        config.pool = Some(PoolConfig {
            max_size: settings.redis_pool_max,
            timeouts: Timeouts {
                wait: Some(timeout),
                create: Some(timeout),
                recycle: Some(timeout),
            },
            ..PoolConfig::default()
        });
        Ok(Self {
            pool: config.create_pool(Some(Runtime::Tokio1))?,
            timeout,
        })
    }

    /// Runs `body` with a connection, within the deadline. Cutting a call off is safe: the connection
    /// is multiplexed, and an answer that nobody waits for is dropped when it comes.
    pub async fn call<T, F, Fut>(&self, operation: &'static str, body: F) -> Result<T, CallError>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = Result<T, RedisError>>,
    {
        let attempt = async { Ok::<T, CallError>(body(self.pool.get().await?).await?) };
        let answer = tokio::time::timeout(self.timeout, attempt)
            .await
            .unwrap_or(Err(CallError::Timeout(self.timeout)));
        let result = if answer.is_ok() { "ok" } else { "error" };
        metrics::counter!("redis_calls_total", "operation" => operation, "result" => result).increment(1);
        answer
    }

    /// Whether Redis answers; for readiness.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.call("ping", |mut connection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await
        })
        .await
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
