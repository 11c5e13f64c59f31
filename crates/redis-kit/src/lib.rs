//! Redis as every service uses it: a bounded pool, and a deadline on every call, so that a Redis that
//! is down, slow or paused costs a caller no more than that deadline.

mod breaker;
mod lane;
mod shared;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, ErrorKind, RedisError, ServerErrorKind};
use deadpool_redis::{Config, Connection, CreatePoolError, Pool, PoolConfig, PoolError, Runtime, Timeouts};
use serde::Deserialize;
use thread_local::ThreadLocal;

pub use breaker::Breaker;
pub use deadpool_redis;
use lane::{Lane, Open};
pub use shared::{SharedConnection, SharedRedis};

/// How a service reaches Redis; part of the service's settings.
#[derive(Debug, Clone, Deserialize)]
pub struct RedisSettings {
    /// `redis://host:port/database`
    pub redis_url: String,
    /// How many connections may be in the making at once. Each thread that calls keeps one.
    pub redis_pool_max: usize,
    /// Bounds one call, the wait for a connection included.
    pub redis_timeout_ms: u64,
}

impl CallError {
    /// Whether Redis itself answered, with an error: it is there, and only this call was in vain.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Redis(error) => {
                matches!(error.kind(), ErrorKind::Server(kind) if !is_away(kind))
                    || matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse)
            }
            Self::Timeout(_) | Self::Pool(_) | Self::NotConnected | Self::Open => false,
        }
    }
}

/// Answers of a server that does not serve now.
fn is_away(kind: ServerErrorKind) -> bool {
    matches!(
        kind,
        ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::TryAgain
    )
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    #[error("no connection to redis: {0}")]
    Pool(#[from] PoolError),
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    #[error("not connected to redis")]
    NotConnected,
    #[error("redis failed before and is not asked now")]
    Open,
}

/// Connections whose every call has a deadline.
///
/// The calls of a thread share one connection, and go out together. A pool that lent a connection to each call would
/// ask Redis before every one whether it is still there; here it asks once a second.
#[derive(Clone)]
pub struct Redis {
    pool: Pool,
    lanes: Arc<ThreadLocal<Lane>>,
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
            lanes: Arc::default(),
            timeout,
        })
    }

    /// Runs `body` with a connection, within the deadline. Cutting a call off is safe: the connection
    /// is multiplexed, and an answer that nobody waits for is dropped when it comes. Others use the connection
    /// at the same time: `body` must not make it wait, nor change its state.
    pub async fn call<T, F, Fut>(&self, operation: &'static str, body: F) -> Result<T, CallError>
    where
        F: FnOnce(MultiplexedConnection) -> Fut,
        Fut: Future<Output = Result<T, RedisError>>,
    {
        let lane = self.lanes.get_or_default();
        let attempt = async { Ok::<T, CallError>(body(self.connection(lane).await?).await?) };
        let answer = tokio::time::timeout(self.timeout, attempt)
            .await
            .unwrap_or(Err(CallError::Timeout(self.timeout)));
        if answer.as_ref().is_err_and(|error| !error.is_answer()) {
            lane.close();
        }
        let result = if answer.is_ok() { "ok" } else { "error" };
        metrics::counter!("redis_calls_total", "operation" => operation, "result" => result).increment(1);
        answer
    }

    async fn connection(&self, lane: &Lane) -> Result<MultiplexedConnection, PoolError> {
        match lane.open() {
            Some(Open::Good(connection)) => return Ok(connection),
            Some(Open::Unsure(mut connection)) => {
                let asked = redis::cmd("PING").query_async::<()>(&mut connection).await;
                if asked.is_ok() {
                    lane.put(connection.clone());
                    return Ok(connection);
                }
            }
            None => {}
        }
        // Taken for good: one that came back to the pool would be lent to another thread, and driven from this one.
        let connection = Connection::take(self.pool.get().await?);
        lane.put(connection.clone());
        Ok(connection)
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
