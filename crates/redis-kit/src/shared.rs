use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisFuture, Value};

use crate::{Breaker, CallError, RedisSettings};

/// Connecting to a cluster takes several round trips and asks for its slots.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection that all callers share, to a server or to a cluster, with a breaker before it.
///
/// No call ever waits for a connection: without one it fails at once. Whoever owns the connection (a worker)
/// calls [`Self::connect`] until there is one again.
#[derive(Clone)]
pub struct SharedRedis {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    timeout: Duration,
    breaker: Breaker,
    open: RwLock<Option<SharedConnection>>,
}

enum Target {
    Server(Client),
    Cluster(Box<ClusterClient>),
}

/// A connection to a server or to a cluster. In a cluster a pipeline must stay in one slot: send commands
/// side by side instead, which costs the same.
#[derive(Clone)]
pub enum SharedConnection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl SharedRedis {
    /// With `cluster`, the URL names several nodes, separated by commas.
    pub fn new(settings: &RedisSettings, cluster: bool) -> Result<Self, RedisError> {
        let timeout = Duration::from_millis(settings.redis_timeout_ms);
        let target = if cluster {
            let nodes: Vec<&str> = settings.redis_url.split(',').map(str::trim).collect();
            let client = ClusterClient::builder(nodes)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(timeout)
                .retries(2)
                .build()?;
            Target::Cluster(Box::new(client))
        } else {
            Target::Server(Client::open(settings.redis_url.as_str())?)
        };
        Ok(Self {
            inner: Arc::new(Inner {
                target,
                timeout,
                breaker: Breaker::new(),
                open: RwLock::new(None),
            }),
        })
    }

    /// The deadline of one call.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Whether calls may succeed: there is a connection, and the breaker is closed.
    pub fn is_ready(&self) -> bool {
        !self.inner.breaker.is_open() && self.connection().is_some()
    }

    /// Connects unless there is a connection, and asks whether Redis answers. While the breaker is open this
    /// is how it closes; it lets one caller a second try.
    pub async fn connect(&self) -> Result<(), CallError> {
        if self.is_ready() {
            return Ok(());
        }
        if !self.inner.breaker.lets_pass() {
            return Err(CallError::Open);
        }
        let attempt = async {
            let mut connection = self.inner.target.connect().await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok::<_, RedisError>(connection)
        };
        let answer = match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(answer) => answer.map_err(CallError::Redis),
            Err(_) => Err(CallError::Timeout(CONNECT_TIMEOUT)),
        };
        match answer {
            Ok(connection) => {
                self.put(Some(connection));
                self.inner.breaker.succeeded();
                Ok(())
            }
            Err(error) => {
                self.inner.breaker.failed();
                Err(error)
            }
        }
    }

    /// Runs `body` with the connection, within the deadline. A failure that is no answer of Redis ends the
    /// connection: what was sent over it may be carried out later all the same.
    pub async fn call<T, F, Fut>(&self, operation: &'static str, body: F) -> Result<T, CallError>
    where
        F: FnOnce(SharedConnection) -> Fut,
        Fut: Future<Output = Result<T, RedisError>>,
    {
        if self.inner.breaker.is_open() {
            return Err(CallError::Open);
        }
        let connection = self.connection().ok_or(CallError::NotConnected)?;
        let answer = match tokio::time::timeout(self.inner.timeout, body(connection)).await {
            Ok(answer) => answer.map_err(CallError::Redis),
            Err(_) => Err(CallError::Timeout(self.inner.timeout)),
        };
        let result = if answer.is_ok() { "ok" } else { "error" };
        metrics::counter!("redis_calls_total", "operation" => operation, "result" => result).increment(1);
        match &answer {
            Err(error) if !error.is_answer() => {
                if !matches!(error, CallError::Timeout(_)) {
                    self.put(None);
                }
                if self.inner.breaker.failed() {
                    self.put(None);
                }
            }
            Ok(_) | Err(_) => {
                self.inner.breaker.succeeded();
            }
        }
        answer
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.call("ping", |mut connection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await
        })
        .await
    }

    fn connection(&self) -> Option<SharedConnection> {
        let open = self.inner.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone()
    }

    fn put(&self, connection: Option<SharedConnection>) {
        *self.inner.open.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

impl Target {
    async fn connect(&self) -> Result<SharedConnection, RedisError> {
        match self {
            Self::Server(client) => {
                // Each call has a deadline of its own.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None);
                let connection = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?;
                Ok(SharedConnection::Server(connection))
            }
            Self::Cluster(client) => Ok(SharedConnection::Cluster(client.get_async_connection().await?)),
        }
    }
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl std::fmt::Debug for SharedRedis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRedis")
            .field("timeout", &self.inner.timeout)
            .finish_non_exhaustive()
    }
}
