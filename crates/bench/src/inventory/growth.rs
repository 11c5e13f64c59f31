//! As the table of reservations grows. There is a database for each size; every load has a copy of its own,
//! so that it finds exactly that many reservations open, and a process of the service of its own.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use ferrocart_stack::Service;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::{Bench, Load, UNITS, only, published};
use crate::audit::{self, Told};
use crate::child;
use crate::load::{Shape, Skus};

/// Open reservations.
pub(super) const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
/// Every second reservation is of the SKU that the load wants, the others are of these.
const OTHER_SKUS: u32 = 1_000;
/// The copy that a load works on.
const COPY: &str = "bench_growth_copy";

/// The databases that are copied, and the SKU that is wanted in each.
pub(super) type Databases = BTreeMap<u32, Uuid>;

fn name(size: u32) -> String {
    format!("bench_growth_{size}")
}

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    let databases = match &bench.growth {
        Some(databases) => databases.clone(),
        None => prepare(bench).await?,
    };
    bench.growth = Some(databases.clone());
    for (size, sku) in databases {
        turn(bench, size, sku)
            .await
            .with_context(|| format!("{size} open reservations"))?;
    }
    Ok(())
}

async fn turn(bench: &mut Bench, size: u32, sku: Uuid) -> Result<()> {
    bench.drain().await?;
    let mut admin = admin(bench).await?;
    copy(&mut admin, &name(size)).await?;
    let url = url(bench, COPY)?;
    let mut env = bench.stack.env_for(Service::Inventory)?;
    env.insert("DATABASE_URL".to_owned(), url.clone());
    let service = bench.another(Service::Payment, env).await?;
    let probe = bench.begin().await?;
    let skus = Skus::starting_at(sku, 1);
    // A service that has just started gets as long again to get warm.
    let shape = bench.options.shape;
    let shape = Shape {
        warm_up: shape.warm_up * 2,
        ..shape
    };
    let http = bench.reserving(shape, skus, vec![service.address])?;
    let summary = http.drive().await?.summary;
    only(&[201], &summary)?;
    let pool = PgPool::connect(&url).await.context("connect to the copy")?;
    let told = Told {
        units: UNITS,
        granted: u64::from(size / 2) + summary.answered(201),
        released: 0,
        unknown: 0,
    };
    audit::stock(&pool, sku, told).await?;
    audit::reservations(&pool).await?;
    bench.end(Load::Growth(size), probe, summary).await?;
    published(&pool).await?;
    pool.close().await;
    bench.stop_other(service).await?;
    run(&mut admin, format!("DROP DATABASE {COPY} WITH (FORCE)")).await?;
    admin.close().await.context("close")
}

async fn prepare(bench: &Bench) -> Result<Databases> {
    let mut databases = Databases::new();
    let mut admin = admin(bench).await?;
    for size in SIZES {
        let size = if bench.options.quick { size / 10 } else { size };
        eprintln!("    preparing a database with {size} open reservations");
        let name = name(size);
        run(&mut admin, format!("CREATE DATABASE {name} OWNER inventory")).await?;
        let mut env = bench.stack.env_for(Service::Inventory)?;
        let url = url(bench, &name)?;
        env.insert("DATABASE_URL".to_owned(), url.clone());
        let log = bench.stack.folder().join("inventory-other.log");
        child::migrate(&bench.program(), &env, &log).await?;
        let sku = fill(&url, size).await.with_context(|| format!("fill {name}"))?;
        databases.insert(size, sku);
    }
    admin.close().await.context("close")?;
    Ok(databases)
}

/// Writes reservations as the service would have: as many orders, their ids in the order of time, each with a
/// line, a ledger row and its unit in the counter.
async fn fill(url: &str, size: u32) -> Result<Uuid> {
    let mut conn = PgConnection::connect(url).await.context("connect")?;
    let wanted = Skus::one().first();
    let others = Skus::new(OTHER_SKUS).all();
    sqlx::query(
        "CREATE TEMPORARY TABLE seed AS
         SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - $3 + i), 12, '0') || '7'
                 || substr(md5(i::text), 1, 3) || '8' || substr(md5('x' || i), 1, 15))::uuid AS order_id,
                CASE WHEN i % 2 = 0 THEN $1 ELSE ($2::uuid[])[i / 2 % cardinality($2) + 1] END AS sku_id
         FROM generate_series(1, $3::integer) i",
    )
    .bind(wanted)
    .bind(&others)
    .bind(i32::try_from(size).context("a size")?)
    .execute(&mut conn)
    .await
    .context("the seed")?;
    sqlx::query(
        "INSERT INTO reservations (order_id, status, sku_ids, quantities, expires_at, created_at, updated_at)
         SELECT order_id, 'RESERVED', ARRAY[sku_id], ARRAY[1], now() + interval '1 day', now(), now()
         FROM seed ORDER BY order_id",
    )
    .execute(&mut conn)
    .await
    .context("the reservations")?;
    sqlx::query(
        "INSERT INTO stock (sku_id, on_hand, reserved, version, created_at, updated_at)
         SELECT s.sku_id, $1, count(seed.order_id), 1 + count(seed.order_id), now(), now()
         FROM UNNEST($2::uuid[] || $3::uuid) s(sku_id) LEFT JOIN seed USING (sku_id) GROUP BY 1",
    )
    .bind(UNITS)
    .bind(&others)
    .bind(wanted)
    .execute(&mut conn)
    .await
    .context("the counters")?;
    sqlx::query(
        "INSERT INTO stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, order_id, actor, at)
         SELECT sku_id, 1, 'INITIALIZED', on_hand, 0, NULL, 'service:order', now() FROM stock
         UNION ALL
         SELECT sku_id, 1 + row_number() OVER (PARTITION BY sku_id ORDER BY order_id), 'RESERVED', 0, 1, order_id,
                'service:order', now() FROM seed",
    )
    .execute(&mut conn)
    .await
    .context("the ledger")?;
    // As the reconciler would have left them: it does not add the ledger up from its beginning again and again.
    sqlx::query(
        "INSERT INTO stock_ledger_sums (sku_id, version, on_hand, reserved)
         SELECT sku_id, version, on_hand, reserved FROM stock",
    )
    .execute(&mut conn)
    .await
    .context("the ledger's sums")?;
    // As autovacuum would have left them.
    run(&mut conn, "VACUUM ANALYZE".to_owned()).await?;
    conn.close().await.context("close")?;
    Ok(wanted)
}

async fn copy(admin: &mut PgConnection, of: &str) -> Result<()> {
    run(admin, format!("DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")).await?;
    let sql = format!("CREATE DATABASE {COPY} OWNER inventory TEMPLATE {of} STRATEGY FILE_COPY");
    run(admin, sql).await
}

async fn admin(bench: &Bench) -> Result<PgConnection> {
    PgConnection::connect(&bench.stack.postgres_admin_url())
        .await
        .context("connect as the administrator")
}

/// The inventory service's URL of another database.
fn url(bench: &Bench, database: &str) -> Result<String> {
    let own = bench.stack.database_url(Service::Inventory)?;
    let (server, _) = own.rsplit_once('/').context("a database's URL")?;
    Ok(format!("{server}/{database}"))
}

async fn run(conn: &mut PgConnection, sql: String) -> Result<()> {
    let shown = sql.clone();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .with_context(|| shown)?;
    Ok(())
}
