//! A counter in Redis: one hash for each shard of a SKU.
//!
//! `available` units may be taken. Each take is a field of its own until it is settled, so that the units of a
//! process that died are found. `base` is the version of the stock row that the counter was built from: a
//! commit up to it is included already, a later one is added when it is told of, and its versions are counted
//! in `applied`. Therefore nothing is counted twice and nothing is forgotten, however commits, rebuilds and
//! messages overtake each other; and when `base + applied` is the row's version, the counter must agree with
//! the row to the unit.
//! `sold_at` is when units were last taken: an order that is younger was granted by nobody.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ferrocart_redis_kit::deadpool_redis::redis::{self, Script};
use ferrocart_redis_kit::{CallError, SharedRedis};
use ferrocart_types::SkuId;
use futures::future::join_all;

use crate::admission::judge::Shard;
use crate::store::Basis;

/// A counter that nobody looks after is gone after this.
const TTL_SECONDS: i64 = 3_600;

const TAKE: &str = "
local c = redis.call('HMGET', KEYS[1], 'generation', 'available', 'sold_at')
local available = tonumber(c[2])
if not c[1] or not available then return {-1, 0} end
if c[1] ~= ARGV[1] then return {-2, tonumber(c[1])} end
local units = math.min(tonumber(ARGV[2]), available)
if units <= 0 then return {0, tonumber(c[3]) or 0} end
local now = redis.call('TIME')
redis.call('HINCRBY', KEYS[1], 'available', -units)
redis.call('HINCRBY', KEYS[1], ARGV[3], units)
redis.call('HSET', KEYS[1], 'sold_at', now[1])
return {units, tonumber(now[1])}";

const SETTLE: &str = "
local c = redis.call('HMGET', KEYS[1], 'generation', 'base')
local base = tonumber(c[2])
if not c[1] or not base then return 0 end
local by, applied = 0, 0
if ARGV[1] ~= '' then
    local taken = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '')
    if taken then
        by = taken
        if ARGV[2] ~= '' then by = math.min(taken, tonumber(ARGV[2])) end
        if by == taken then
            redis.call('HDEL', KEYS[1], ARGV[1])
        else
            redis.call('HINCRBY', KEYS[1], ARGV[1], -by)
        end
    end
end
for i = 3, #ARGV, 3 do
    if tonumber(ARGV[i]) > base then
        by = by + tonumber(ARGV[i + 1])
        applied = applied + tonumber(ARGV[i + 2])
    end
end
if by ~= 0 then redis.call('HINCRBY', KEYS[1], 'available', by) end
if applied ~= 0 then redis.call('HINCRBY', KEYS[1], 'applied', applied) end
return 1";

const RESET: &str = "
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
    local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '')
    if generation and generation > tonumber(ARGV[1]) then return 0 end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'base', ARGV[2], 'available', ARGV[3], 'applied', 0,
           'sold_at', redis.call('TIME')[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1";

const LOOK: &str = "
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])";

static TAKE_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TAKE));
static SETTLE_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SETTLE));
static RESET_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(RESET));
static LOOK_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(LOOK));

/// What came of asking a shard for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// So many units; and when somebody last took any, in seconds of Redis' clock.
    Got(i64, i64),
    /// The counter was rebuilt; this is its generation now.
    Rebuilt(i64),
    Missing,
}

/// By how much a commit changed what can be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delta {
    /// The version of the stock row after it.
    pub(super) version: i64,
    pub(super) units: i64,
    /// How many versions it made, where this is the message that says so.
    pub(super) span: i64,
}

/// All that one shard is told at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// The take that is over, or of which some units are not needed.
    pub(super) take: Option<String>,
    /// How many of its units go back; all, where this is None.
    pub(super) back: Option<i64>,
    pub(super) deltas: Vec<Delta>,
}

/// The braces are part of the key: in a cluster they spread the shards of one SKU over the slots.
pub(super) fn key(sku: SkuId, shard: u16, shards: u16) -> String {
    if shards <= 1 {
        format!("inventory:{{{sku}}}")
    } else {
        format!("inventory:{{{sku}:{shard}}}")
    }
}

pub(super) async fn take(
    redis: &SharedRedis,
    key: &str,
    generation: i64,
    units: i64,
    field: &str,
) -> Result<Take, CallError> {
    let (code, second): (i64, i64) = redis
        .call("admission.take", |mut connection| async move {
            TAKE_SCRIPT
                .key(key)
                .arg(generation)
                .arg(units)
                .arg(field)
                .invoke_async(&mut connection)
                .await
        })
        .await?;
    Ok(match code {
        -1 => Take::Missing,
        -2 => Take::Rebuilt(second),
        units => Take::Got(units, second),
    })
}

/// Answers whether there was a counter to tell it to.
pub(super) async fn settle(redis: &SharedRedis, key: &str, note: &Note) -> Result<bool, CallError> {
    redis
        .call("admission.settle", |mut connection| async move {
            let mut invocation = SETTLE_SCRIPT.key(key);
            invocation.arg(note.take.as_deref().unwrap_or_default());
            invocation.arg(note.back.map(|units| units.to_string()).unwrap_or_default());
            for delta in &note.deltas {
                invocation.arg(delta.version).arg(delta.units).arg(delta.span);
            }
            invocation.invoke_async(&mut connection).await
        })
        .await
}

/// Builds all shards anew. Answers whether they were; not when a later rebuild was there before.
pub(super) async fn reset(redis: &SharedRedis, sku: SkuId, basis: &Basis) -> Result<bool, CallError> {
    let parts = split(basis.counters.available().max(0), basis.shards);
    let resets = parts.into_iter().map(|(shard, units)| async move {
        let key = key(sku, shard, basis.shards);
        let done: bool = redis
            .call("admission.reset", |mut connection| async move {
                RESET_SCRIPT
                    .key(key)
                    .arg(basis.generation)
                    .arg(basis.counters.version)
                    .arg(units)
                    .arg(TTL_SECONDS)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        Ok::<_, CallError>(done)
    });
    let done: Result<Vec<bool>, CallError> = join_all(resets).await.into_iter().collect();
    Ok(done?.into_iter().all(|done| done))
}

/// Every shard as it is now; those that are missing are None.
pub(super) async fn look(
    redis: &SharedRedis,
    sku: SkuId,
    shards: u16,
) -> Result<Vec<Option<Shard>>, CallError> {
    let looks = (0..shards.max(1)).map(|shard| async move {
        let key = key(sku, shard, shards);
        let fields: BTreeMap<String, String> = redis
            .call("admission.look", |mut connection| async move {
                LOOK_SCRIPT
                    .key(key)
                    .arg(TTL_SECONDS)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        Ok::<_, CallError>(Shard::read(&fields))
    });
    join_all(looks).await.into_iter().collect()
}

/// What each of these shards has left, and when somebody last took any.
pub(super) async fn peek(redis: &SharedRedis, keys: &[String]) -> Result<Vec<(i64, i64)>, CallError> {
    let peeks = keys.iter().map(|key| async move {
        let (available, sold_at): (Option<i64>, Option<i64>) = redis
            .call("admission.peek", |mut connection| async move {
                redis::cmd("HMGET")
                    .arg(key)
                    .arg(&["available", "sold_at"])
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        Ok::<_, CallError>((available.unwrap_or(0), sold_at.unwrap_or(0)))
    });
    join_all(peeks).await.into_iter().collect()
}

pub(super) async fn remove(redis: &SharedRedis, sku: SkuId, shards: u16) -> Result<(), CallError> {
    let removals = (0..shards.max(1)).map(|shard| async move {
        let key = key(sku, shard, shards);
        redis
            .call("admission.remove", |mut connection| async move {
                redis::cmd("DEL")
                    .arg(key)
                    .query_async::<()>(&mut connection)
                    .await
            })
            .await
    });
    join_all(removals).await.into_iter().collect()
}

/// Spreads units over shards as evenly as they go.
fn split(units: i64, shards: u16) -> Vec<(u16, i64)> {
    let count = i64::from(shards.max(1));
    let (each, rest) = (units / count, units % count);
    (0..shards.max(1))
        .map(|shard| (shard, each + i64::from(i64::from(shard) < rest)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_in_one_shard() {
        for (units, shards) in [(0, 1), (1, 4), (7, 3), (8, 4), (3, 16)] {
            let parts = split(units, shards);
            assert_eq!(parts.len(), usize::from(shards));
            assert_eq!(parts.iter().map(|(_, units)| units).sum::<i64>(), units);
        }
    }
}
