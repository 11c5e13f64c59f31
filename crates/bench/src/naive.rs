//! The design that one would write first: lock the SKU's row, look, write, commit, once a request. It
//! writes the same rows into the same tables as the inventory service does.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use ferrocart_contracts::v1::{
    ReleaseReason, ReservationConfirmed, ReservationLine, ReservationReleased, StockReserved,
};
use ferrocart_contracts::{Envelope, Event as _, timestamp_to_proto};
use ferrocart_types::{Clock as _, EventId, IdGen as _, SystemClock, SystemIds};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// As large as a service's pool by default.
const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const HOLD: TimeDelta = TimeDelta::hours(1);

pub fn pool(database_url: &str) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(database_url)
        .context("DATABASE_URL")?
        .application_name("ferrocart-bench-naive");
    Ok(PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Granted,
    SoldOut,
    UnknownSku,
}

/// One transaction, five statements.
pub async fn reserve(pool: &PgPool, order_id: Uuid, sku_id: Uuid, quantity: i32) -> Result<Outcome> {
    let mut tx = pool.begin().await.context("begin")?;
    let stock: Option<(i64, i64, i64)> =
        sqlx::query_as("SELECT on_hand, reserved, version FROM stock WHERE sku_id = $1 FOR UPDATE")
            .bind(sku_id)
            .fetch_optional(&mut *tx)
            .await
            .context("lock the SKU")?;
    let Some((on_hand, reserved, version)) = stock else {
        return Ok(Outcome::UnknownSku);
    };
    if on_hand - reserved < i64::from(quantity) {
        return Ok(Outcome::SoldOut);
    }
    write(&mut tx, order_id, sku_id, quantity, version + 1).await?;
    tx.commit().await.context("commit")?;
    Ok(Outcome::Granted)
}

/// What is done to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Confirm,
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Done,
    NotAllowed,
    Unknown,
}

/// One transaction, six statements.
pub async fn step(pool: &PgPool, order_id: Uuid, step: Step) -> Result<Moved> {
    let mut tx = pool.begin().await.context("begin")?;
    let found: Option<(String, Vec<Uuid>, Vec<i32>)> =
        sqlx::query_as("SELECT status, sku_ids, quantities FROM reservations WHERE order_id = $1 FOR UPDATE")
            .bind(order_id)
            .fetch_optional(&mut *tx)
            .await
            .context("lock the reservation")?;
    let Some((status, skus, quantities)) = found else {
        return Ok(Moved::Unknown);
    };
    let (Some(sku_id), Some(quantity)) = (skus.first(), quantities.first()) else {
        return Ok(Moved::Unknown);
    };
    let allowed = match step {
        Step::Confirm => status == "RESERVED",
        Step::Release => status == "RESERVED" || status == "CONFIRMED",
    };
    if !allowed {
        return Ok(Moved::NotAllowed);
    }
    let (after, reason, kind, delta) = match step {
        Step::Confirm => ("CONFIRMED", None, "CONFIRMED", 0),
        Step::Release => ("RELEASED", Some("CANCELLED"), "RELEASED", -i64::from(*quantity)),
    };
    sqlx::query(
        "UPDATE reservations SET status = $2, release_reason = $3, updated_at = $4 WHERE order_id = $1",
    )
    .bind(order_id)
    .bind(after)
    .bind(reason)
    .bind(SystemClock.now())
    .execute(&mut *tx)
    .await
    .context("update the reservation")?;
    let version: i64 = sqlx::query_scalar("SELECT version FROM stock WHERE sku_id = $1 FOR UPDATE")
        .bind(sku_id)
        .fetch_one(&mut *tx)
        .await
        .context("lock the SKU")?;
    let change = Change {
        order_id,
        sku_id: *sku_id,
        version: version + 1,
        kind,
        delta,
    };
    let line = Some(change.line(*quantity));
    let event = match step {
        Step::Confirm => envelope(&ReservationConfirmed { line }),
        Step::Release => envelope(&ReservationReleased {
            line,
            reason: ReleaseReason::Cancelled.into(),
        }),
    };
    change.write(&mut tx, &event).await?;
    tx.commit().await.context("commit")?;
    Ok(Moved::Done)
}

async fn write(
    tx: &mut PgConnection,
    order_id: Uuid,
    sku_id: Uuid,
    quantity: i32,
    version: i64,
) -> Result<()> {
    let now = SystemClock.now();
    sqlx::query(
        "INSERT INTO reservations (order_id, status, sku_ids, quantities, expires_at, created_at, updated_at)
         VALUES ($1, 'RESERVED', ARRAY[$2], ARRAY[$3], $4, $5, $5)",
    )
    .bind(order_id)
    .bind(sku_id)
    .bind(quantity)
    .bind(now + HOLD)
    .bind(now)
    .execute(&mut *tx)
    .await
    .context("insert the reservation")?;
    let change = Change {
        order_id,
        sku_id,
        version,
        kind: "RESERVED",
        delta: i64::from(quantity),
    };
    let event = change.reserved(quantity);
    change.write(tx, &event).await
}

/// The event of a reservation of one unit.
pub fn reserved(order_id: Uuid, sku_id: Uuid, version: i64) -> Envelope {
    let change = Change {
        order_id,
        sku_id,
        version,
        kind: "RESERVED",
        delta: 1,
    };
    change.reserved(1)
}

/// What a reservation's step changes in the stock.
struct Change {
    order_id: Uuid,
    sku_id: Uuid,
    version: i64,
    kind: &'static str,
    delta: i64,
}

impl Change {
    fn line(&self, quantity: i32) -> ReservationLine {
        ReservationLine {
            reservation_id: self.order_id.to_string(),
            order_id: self.order_id.to_string(),
            sku_id: self.sku_id.to_string(),
            quantity: u32::try_from(quantity).unwrap_or_default(),
            version: self.version,
        }
    }

    fn reserved(&self, quantity: i32) -> Envelope {
        envelope(&StockReserved {
            line: Some(self.line(quantity)),
            expires_at: Some(timestamp_to_proto(SystemClock.now() + HOLD)),
        })
    }

    async fn write(&self, tx: &mut PgConnection, event: &Envelope) -> Result<()> {
        let now = SystemClock.now();
        sqlx::query(
            "UPDATE stock SET reserved = reserved + $2, version = $3, updated_at = $4 WHERE sku_id = $1",
        )
        .bind(self.sku_id)
        .bind(self.delta)
        .bind(self.version)
        .bind(now)
        .execute(&mut *tx)
        .await
        .context("update the stock")?;
        sqlx::query(
            "INSERT INTO stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, order_id, actor, at)
             VALUES ($1, $2, $3, 0, $4, $5, 'service:order', $6)",
        )
        .bind(self.sku_id)
        .bind(self.version)
        .bind(self.kind)
        .bind(self.delta)
        .bind(self.order_id)
        .bind(now)
        .execute(&mut *tx)
        .await
        .context("insert the ledger row")?;
        sqlx::query(
            "INSERT INTO outbox (topic, source, occurred_at, key, event_id, event_type, sequence, payload)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(StockReserved::TOPIC.name())
        .bind(event.source.as_str())
        .bind(now)
        .bind(event.subject.as_str())
        .bind(event.id.as_uuid())
        .bind(event.event_type.as_str())
        .bind(event.sequence)
        .bind(event.payload.as_ref())
        .execute(&mut *tx)
        .await
        .context("insert the event")?;
        Ok(())
    }
}

fn envelope<E: ferrocart_contracts::Event>(event: &E) -> Envelope {
    Envelope::new("inventory", EventId(SystemIds.next()), SystemClock.now(), event)
}
