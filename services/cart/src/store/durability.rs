use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_redis_kit::{CallError, Redis};

/// Whether the Redis that holds the carts keeps what it acknowledges. Asked until the answer is yes.
#[derive(Debug, Clone)]
pub(crate) struct Durability {
    redis: Redis,
    settled: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error(transparent)]
    Redis(#[from] CallError),
    #[error("redis_url: this Redis would lose carts: {0}; carts are kept nowhere else")]
    Forgetful(&'static str),
}

impl Durability {
    pub(crate) fn new(redis: Redis) -> Self {
        Self {
            redis,
            settled: Arc::default(),
        }
    }

    pub(crate) async fn check(&self) -> Result<(), NotReady> {
        self.redis.ping().await?;
        if self.settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let info = self
            .redis
            .call("cart.durability", |mut connection| async move {
                redis::cmd("INFO")
                    .arg("everything")
                    .query_async::<String>(&mut connection)
                    .await
            })
            .await;
        match info {
            Ok(info) => {
                if let Some(fault) = fault_in(&info) {
                    return Err(NotReady::Forgetful(fault));
                }
            }
            Err(error) if error.is_answer() => {
                tracing::warn!(
                    %error,
                    "redis does not say whether it keeps carts: see to it that appendonly is on and that nothing is evicted"
                );
            }
            Err(error) => return Err(error.into()),
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// What Redis says of itself: `name:value` lines.
fn fault_in(info: &str) -> Option<&'static str> {
    let value = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    if value("aof_enabled") == Some("0") {
        return Some("appendonly is off");
    }
    if value("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
        return Some("maxmemory-policy is not noeviction");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forgets_is_found_out() {
        assert_eq!(fault_in("aof_enabled:1\r\nmaxmemory_policy:noeviction\r\n"), None);
        assert!(fault_in("aof_enabled:0\r\nmaxmemory_policy:noeviction\r\n").is_some());
        assert!(fault_in("aof_enabled:1\r\nmaxmemory_policy:allkeys-lru\r\n").is_some());
    }
}
