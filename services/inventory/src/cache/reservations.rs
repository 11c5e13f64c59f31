//! Reservations as they were read or moved last, at `reservation:{id}`, so that a client that asks again and
//! again asks Redis.
//!
//! A reservation only moves forward, and a script never puts an earlier state over a later one: a reader that
//! was slow to put what it read, and whoever moved the reservation meanwhile, may come in any order. What can still
//! be wrong is an entry whose mover could not reach Redis; so a state that is not final is believed for
//! [`LIVE_FOR`] after it was read, and then read again. What is final stays true.

use std::sync::LazyLock;

use chrono::TimeDelta;
use ferrocart_redis_kit::deadpool_redis::redis::{self, Script};
use ferrocart_redis_kit::{CallError, SharedRedis};
use ferrocart_types::{OrderId, ReservationId, SkuId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::{Line, Lines, Reservation, State, reservation_of};

/// For how long a state that may still change is believed.
const LIVE_FOR: TimeDelta = TimeDelta::seconds(1);
/// For how long a reservation is remembered that no longer expires.
const KEPT_FOR: TimeDelta = TimeDelta::minutes(15);

/// The rank stands before the value, so that the script need not understand the value.
const PUT: &str = "
local old = redis.call('GET', KEYS[1])
local rank = old and tonumber(string.match(old, '^%d+') or '')
if rank and rank > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1";

static PUT_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(PUT));

/// The cache; without Redis it remembers nothing.
#[derive(Clone)]
pub struct ReservationCache {
    redis: Option<SharedRedis>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// When PostgreSQL said so.
    read_at: Timestamp,
    status: String,
    reason: Option<String>,
    buyer: Option<UserId>,
    lines: Vec<(SkuId, i32)>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl ReservationCache {
    /// Remembers nothing.
    pub fn off() -> Self {
        Self { redis: None }
    }

    pub fn new(redis: SharedRedis) -> Self {
        Self { redis: Some(redis) }
    }

    /// The reservation of this order, if what is remembered can be believed. Redis that is away or slow
    /// costs one deadline, and then nothing until it is back.
    pub async fn find(&self, order: OrderId, now: Timestamp) -> Option<Reservation> {
        let redis = self.redis.as_ref()?;
        let key = key(reservation_of(order));
        let found: Result<Option<String>, CallError> = redis
            .call("reservation.get", |mut connection| async move {
                redis::cmd("GET").arg(key).query_async(&mut connection).await
            })
            .await;
        let found = found
            .ok()
            .flatten()
            .and_then(|text| parse(order, &text))
            .filter(|(reservation, read_at)| may_be_believed(reservation, *read_at, now));
        let result = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("inventory_reservation_cache_total", "result" => result).increment(1);
        found.map(|(reservation, _)| reservation)
    }

    /// Remembers a reservation as PostgreSQL had it at `read_at`. Failing to costs a later reader time.
    pub async fn put(&self, reservation: &Reservation, read_at: Timestamp) {
        let Some(redis) = &self.redis else {
            return;
        };
        let Some((value, lasts)) = write(reservation, read_at) else {
            return;
        };
        let key = key(reservation.id());
        let rank = rank(reservation);
        let done: Result<i64, CallError> = redis
            .call("reservation.put", |mut connection| async move {
                PUT_SCRIPT
                    .key(key)
                    .arg(rank)
                    .arg(value)
                    .arg(lasts)
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if let Err(error) = done {
            tracing::debug!(%error, "a reservation was not put into the cache");
        }
    }
}

impl std::fmt::Debug for ReservationCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReservationCache")
            .field("on", &self.redis.is_some())
            .finish()
    }
}

/// The braces are part of the key, as with the counters.
fn key(reservation: ReservationId) -> String {
    format!("reservation:{{{reservation}}}")
}

/// Grows with everything that happens to a reservation: its state moves forward, and while it is reserved its end
/// moves out. A double, which is what the script counts with, is exact up to 9·10^15.
fn rank(reservation: &Reservation) -> i64 {
    const STATE: i64 = 100_000_000_000_000;
    match reservation.state {
        State::Reserved => reservation.expires_at.timestamp_millis().clamp(0, STATE - 1),
        State::Confirmed => STATE,
        State::Deducted | State::Released(_) => 2 * STATE,
    }
}

fn may_be_believed(reservation: &Reservation, read_at: Timestamp, now: Timestamp) -> bool {
    match reservation.state {
        State::Deducted | State::Released(_) => true,
        // Clocks of replicas may be apart.
        State::Reserved | State::Confirmed => (now - read_at).abs() <= LIVE_FOR,
    }
}

/// The value and for how many milliseconds it is kept: as long as the reservation itself, where that ends. None for
/// what ends now.
fn write(reservation: &Reservation, read_at: Timestamp) -> Option<(String, i64)> {
    let lasts = match reservation.state {
        State::Reserved => reservation.expires_at - read_at,
        State::Confirmed | State::Deducted | State::Released(_) => KEPT_FOR,
    };
    let stored = Stored {
        read_at,
        status: reservation.state.as_str().to_owned(),
        reason: reservation
            .state
            .release_reason()
            .map(|reason| reason.as_str().to_owned()),
        buyer: reservation.buyer,
        lines: reservation
            .lines
            .iter()
            .map(|line| (line.sku, line.quantity))
            .collect(),
        created_at: reservation.created_at,
        expires_at: reservation.expires_at,
    };
    let value = serde_json::to_string(&stored).ok()?;
    (lasts > TimeDelta::zero()).then(|| (value, lasts.num_milliseconds().max(1)))
}

/// None for what this version did not write.
fn parse(order: OrderId, text: &str) -> Option<(Reservation, Timestamp)> {
    let (_, value) = text.split_once(' ')?;
    let stored: Stored = serde_json::from_str(value).ok()?;
    let lines = stored
        .lines
        .into_iter()
        .map(|(sku, quantity)| Line { sku, quantity })
        .collect::<Vec<_>>();
    let lines = if lines.is_empty() {
        Lines::none()
    } else {
        Lines::from_stored(lines).ok()?
    };
    let reservation = Reservation {
        order_id: order,
        buyer: stored.buyer,
        lines,
        created_at: stored.created_at,
        expires_at: stored.expires_at,
        state: State::from_stored(&stored.status, stored.reason.as_deref())?,
    };
    Some((reservation, stored.read_at))
}
