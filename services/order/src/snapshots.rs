//! Orders as they were last known, in Redis: what an order's page shows while PostgreSQL is away.
//!
//! Nothing is decided by them. They are written after the commit, without being waited for, and a newer
//! version is never overwritten by an older one; what is lost on the way makes a page older, not wrong.

use std::collections::HashMap;
use std::time::Duration;

use ferrocart_redis_kit::Redis;
use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_types::{OrderId, UserId};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::Order;
use crate::views::OrderView;

/// Snapshots that wait to be written; those that find no room are left out.
const QUEUE_MAX: usize = 4_096;
/// Snapshots in one round trip.
const BATCH_MAX: usize = 128;

/// KEYS[1] order, ARGV version, customer, body, seconds to live.
const PUT: &str = "local known = redis.call('HGET', KEYS[1], 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'customer', ARGV[2], 'body', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1";

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    redis: Redis,
    queue: mpsc::Sender<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    order: OrderId,
    customer: UserId,
    version: i64,
    body: Vec<u8>,
}

/// An order as it was last known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) customer: UserId,
    /// As the API shows it.
    pub(crate) body: Vec<u8>,
}

impl Snapshots {
    /// Its writer ends with the last clone.
    pub(crate) fn start(redis: Redis, keep: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        ferrocart_telemetry::spawn("snapshots", write(redis.clone(), waiting, keep));
        Self { redis, queue }
    }

    /// Remembers the order as it is. Call it after the commit.
    pub(crate) fn note(&self, order: &Order) {
        let body = OrderView::of(order)
            .map_err(|error| error.to_string())
            .and_then(|view| serde_json::to_vec(&view).map_err(|error| error.to_string()));
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(order.id = %order.id, error, "an order cannot be shown");
                return;
            }
        };
        let snapshot = Snapshot {
            order: order.id,
            customer: order.customer_id,
            version: order.version,
            body,
        };
        if self.queue.try_send(snapshot).is_err() {
            metrics::counter!("order_snapshots_total", "result" => "dropped").increment(1);
        }
    }

    /// The order as it was last known; nothing when it is not known here or Redis does not answer either.
    pub(crate) async fn find(&self, order: OrderId) -> Option<Known> {
        let found = self
            .redis
            .call("order.snapshot.get", |mut connection| async move {
                redis::cmd("HMGET")
                    .arg(key(order))
                    .arg(&["customer", "body"])
                    .query_async::<(Option<String>, Option<Vec<u8>>)>(&mut connection)
                    .await
            })
            .await;
        match found {
            Ok((Some(customer), Some(body))) => Some(Known {
                customer: UserId(customer.parse::<Uuid>().ok()?),
                body,
            }),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "an order's last known state could not be read");
                None
            }
        }
    }
}

fn key(order: OrderId) -> String {
    format!("order:{order}")
}

async fn write(redis: Redis, mut waiting: mpsc::Receiver<Snapshot>, keep: Duration) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut newest: HashMap<OrderId, Snapshot> = HashMap::new();
        for snapshot in batch.drain(..) {
            match newest.get(&snapshot.order) {
                Some(known) if known.version >= snapshot.version => {}
                _ => {
                    newest.insert(snapshot.order, snapshot);
                }
            }
        }
        let count = u64::try_from(newest.len()).unwrap_or(u64::MAX);
        let written = redis
            .call("order.snapshot.put", |mut connection| async move {
                let mut pipe = redis::pipe();
                for snapshot in newest.into_values() {
                    pipe.cmd("EVAL")
                        .arg(PUT)
                        .arg(1)
                        .arg(key(snapshot.order))
                        .arg(snapshot.version)
                        .arg(snapshot.customer.to_string())
                        .arg(snapshot.body)
                        .arg(keep.as_secs())
                        .ignore();
                }
                pipe.query_async::<()>(&mut connection).await
            })
            .await;
        let result = match written {
            Ok(()) => "written",
            Err(error) => {
                tracing::debug!(%error, "orders' last known states were not written");
                "failed"
            }
        };
        metrics::counter!("order_snapshots_total", "result" => result).increment(count);
    }
}
