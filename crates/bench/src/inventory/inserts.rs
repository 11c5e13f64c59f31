use anyhow::{Context as _, Result};
use ferrocart_contracts::Envelope;
use ferrocart_pg_kit::outbox;
use ferrocart_types::{IdGen as _, SystemIds};
use sqlx::PgPool;
use uuid::Uuid;

use crate::load::{self, Shape};
use crate::naive;
use crate::stats::Summary;

/// Rows of one commit of bare inserts: as the service's batches at most.
const INSERT_ROWS: i32 = 512;

/// The ceiling of the core: the same rows, several hundred a commit, nothing decided and nobody asked.
pub(super) async fn run(pool: &PgPool, shape: Shape) -> Result<Summary> {
    for table in ["reservations", "stock_ledger", "outbox"] {
        let sql = format!("CREATE TABLE IF NOT EXISTS bench_{table} (LIKE {table} INCLUDING ALL)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(pool)
            .await
            .context("make a copy of a table")?;
    }
    let shared = pool.clone();
    let two_lanes = Shape { clients: 2, ..shape };
    let mut summary = load::in_process(two_lanes, move |_| insert_status(shared.clone())).await?;
    let rows = u64::from(INSERT_ROWS.unsigned_abs());
    summary.per_second *= rows;
    for table in ["reservations", "stock_ledger", "outbox"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TABLE bench_{table}")))
            .execute(pool)
            .await
            .context("drop a copy of a table")?;
    }
    Ok(summary)
}

async fn insert_status(pool: PgPool) -> u16 {
    match insert(&pool).await {
        Ok(()) => 201,
        Err(_) => 503,
    }
}

/// One commit, one statement, no row of stock.
async fn insert(pool: &PgPool) -> Result<()> {
    let count = usize::try_from(INSERT_ROWS).unwrap_or_default();
    let orders: Vec<Uuid> = (0..count).map(|_| SystemIds.next()).collect();
    let versions: Vec<i64> = (0..i64::from(INSERT_ROWS)).collect();
    let sku = SystemIds.next();
    let events: Vec<Envelope> = orders
        .iter()
        .zip(&versions)
        .map(|(order, version)| naive::reserved(*order, sku, *version))
        .collect();
    // As the service does: one row of the outbox for all events of a SKU.
    let packed = outbox::pack(&events).pop().context("packed events")?;
    sqlx::query(
        "WITH granted AS (
             INSERT INTO bench_reservations (order_id, status, sku_ids, quantities, expires_at, created_at, updated_at)
             SELECT o, 'RESERVED', ARRAY[$2], ARRAY[1], now() + interval '1 hour', now(), now() FROM UNNEST($1::uuid[]) o
         ), ledger AS (
             INSERT INTO bench_stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, order_id, actor, at)
             SELECT $2, l.version, 'RESERVED', 0, 1, l.order_id, 'service:order', now()
             FROM UNNEST($3::bigint[], $1::uuid[]) AS l(version, order_id)
         )
         INSERT INTO bench_outbox (topic, source, occurred_at, key, event_count, packed)
         VALUES ('inventory-events', 'inventory', now(), $2::text, $4, $5)",
    )
    .bind(orders)
    .bind(sku)
    .bind(versions)
    .bind(packed.count)
    .bind(packed.bytes)
    .execute(pool)
    .await
    .context("insert a batch")?;
    Ok(())
}
