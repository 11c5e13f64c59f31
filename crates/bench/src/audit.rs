//! The promises, checked after every load with what the stores say. A figure from a run that broke one is
//! not a figure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// What clients were told about a SKU's units.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub units: i64,
    pub granted: u64,
    /// Of those.
    pub released: u64,
    /// Answered neither yes nor no: granted or not.
    pub unknown: u64,
}

/// I1: what was granted is written down, no more and no less, in the counters and in the ledger.
pub async fn stock(pool: &PgPool, sku: Uuid, told: Told) -> Result<()> {
    let (on_hand, reserved, ledger_on_hand, ledger_reserved, orders, lines): (i64, i64, i64, i64, i64, i64) =
        sqlx::query_as(
            "SELECT s.on_hand, s.reserved, l.on_hand, l.reserved, n.orders, n.lines
             FROM stock s
             JOIN stock_from_ledger l USING (sku_id),
             LATERAL (SELECT count(DISTINCT order_id) AS orders, count(order_id) AS lines
                      FROM stock_ledger WHERE sku_id = s.sku_id AND kind = 'RESERVED') n
             WHERE s.sku_id = $1",
        )
        .bind(sku)
        .fetch_one(pool)
        .await
        .context("read the SKU's books")?;
    let granted = i64::try_from(told.granted).context("granted")?;
    let released = i64::try_from(told.released).context("released")?;
    let unknown = i64::try_from(told.unknown).context("unknown")?;
    ensure!(
        on_hand == told.units,
        "{sku}: {on_hand} on hand of {}",
        told.units
    );
    ensure!(
        (0..=on_hand).contains(&reserved),
        "oversold: {reserved} of {on_hand} of {sku} are reserved"
    );
    ensure!(
        (granted..=granted + unknown).contains(&orders) && reserved == orders - released,
        "{granted} were granted (and {unknown} left open) of {sku} and {released} released, but {reserved} are \
         reserved of {orders} that ever were"
    );
    ensure!(
        (ledger_on_hand, ledger_reserved, lines) == (on_hand, reserved, orders),
        "{sku}: the ledger says {ledger_on_hand} on hand, {ledger_reserved} reserved by {orders} orders in {lines} \
         lines; the counters say {on_hand} and {reserved}"
    );
    Ok(())
}

/// I1, for many SKUs: of all of them together so many units were granted.
pub async fn many(pool: &PgPool, skus: &[Uuid], granted: u64) -> Result<()> {
    let (found, oversold, wrong, reserved): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE s.reserved NOT BETWEEN 0 AND s.on_hand),
                count(*) FILTER (WHERE (s.on_hand, s.reserved) IS DISTINCT FROM (l.on_hand, l.reserved)),
                coalesce(sum(s.reserved), 0)::bigint
         FROM stock s LEFT JOIN stock_from_ledger l USING (sku_id) WHERE s.sku_id = ANY($1)",
    )
    .bind(skus)
    .fetch_one(pool)
    .await
    .context("read the SKUs' books")?;
    ensure!(
        usize::try_from(found) == Ok(skus.len()),
        "{found} of {} SKUs have stock",
        skus.len()
    );
    ensure!(oversold == 0, "{oversold} SKUs are oversold");
    ensure!(
        wrong == 0,
        "the ledgers of {wrong} SKUs do not add up to their counters"
    );
    ensure!(
        u64::try_from(reserved) == Ok(granted),
        "{granted} units were granted of {found} SKUs, but {reserved} are reserved"
    );
    Ok(())
}

/// I1, for all SKUs at once: the reservations that stand add up to the counters.
pub async fn reservations(pool: &PgPool) -> Result<u64> {
    let (skus, wrong): (i64, i64) = sqlx::query_as(
        "WITH standing AS (
             SELECT l.sku_id, sum(l.quantity) AS units
             FROM reservations r, UNNEST(r.sku_ids, r.quantities) AS l(sku_id, quantity)
             WHERE r.status IN ('RESERVED', 'CONFIRMED') GROUP BY 1)
         SELECT count(*), count(*) FILTER (WHERE s.reserved IS DISTINCT FROM coalesce(t.units, 0))
         FROM stock s LEFT JOIN standing t USING (sku_id)",
    )
    .fetch_one(pool)
    .await
    .context("add the reservations up")?;
    ensure!(
        wrong == 0,
        "the reservations of {wrong} of {skus} SKUs do not add up to their counters"
    );
    Ok(u64::try_from(skus).unwrap_or(0))
}

/// The stores of everything that a checkout writes.
pub struct Books {
    pub orders: PgPool,
    pub payments: PgPool,
    pub inventory: PgPool,
}

/// I1, I2, I3 and I7 over all checkouts: every order that was answered 201 is CONFIRMED and has one
/// authorization at the provider and one reservation; nothing else has any.
pub async fn checkouts(books: &Books, provider: &[Value], answered: &[Uuid]) -> Result<()> {
    let confirmed: Vec<(Uuid, i64)> =
        sqlx::query_as("SELECT order_id, total_minor FROM orders WHERE status = 'CONFIRMED'")
            .fetch_all(&books.orders)
            .await
            .context("read the orders")?;
    let confirmed: BTreeMap<Uuid, i64> = confirmed.into_iter().collect();
    if let Some(lost) = answered.iter().find(|order| !confirmed.contains_key(order)) {
        bail!("the order {lost} was answered 201 and is not CONFIRMED");
    }
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM sagas WHERE state <> 'DONE'")
        .fetch_one(&books.orders)
        .await
        .context("read the sagas")?;
    ensure!(open == 0, "{open} sagas are not done");
    provider_agrees(provider, &confirmed)?;
    let unbalanced: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM ledger_entries GROUP BY payment_id, sequence HAVING sum(amount_minor) <> 0) u",
    )
    .fetch_one(&books.payments)
    .await
    .context("read the payments' ledger")?;
    ensure!(unbalanced == 0, "{unbalanced} bookings do not sum to zero");
    let reserved: Vec<Uuid> =
        sqlx::query_scalar("SELECT order_id FROM reservations WHERE status IN ('RESERVED', 'CONFIRMED')")
            .fetch_all(&books.inventory)
            .await
            .context("read the reservations")?;
    ensure!(
        reserved.len() == confirmed.len() && reserved.iter().all(|order| confirmed.contains_key(order)),
        "{} orders are CONFIRMED, {} reservations stand",
        confirmed.len(),
        reserved.len()
    );
    reservations(&books.inventory).await.map(drop)
}

fn provider_agrees(provider: &[Value], confirmed: &BTreeMap<Uuid, i64>) -> Result<()> {
    let mut authorized: BTreeMap<Uuid, i64> = BTreeMap::new();
    for intent in provider
        .iter()
        .filter(|entry| entry["object"] == "payment_intent")
    {
        if intent["status"] == "canceled" {
            continue;
        }
        let order: Uuid = intent["metadata"]["order_id"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .context("an intent of no order")?;
        ensure!(
            intent["status"] == "requires_capture",
            "the order {order} is {} at the provider",
            intent["status"]
        );
        let amount = intent["amount_capturable"].as_i64().unwrap_or_default();
        ensure!(
            authorized.insert(order, amount).is_none(),
            "the order {order} was authorized twice"
        );
    }
    ensure!(
        authorized == *confirmed,
        "{} orders are CONFIRMED, the provider has {} authorizations, or their amounts differ",
        confirmed.len(),
        authorized.len()
    );
    Ok(())
}
