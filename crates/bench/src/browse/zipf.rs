//! Product pages as a shop's visitors ask for them, from a catalog that has just started and a Redis that is empty: how
//! many reads PostgreSQL sees when a minute has passed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_sample_catalog::LoadOptions;
use ferrocart_stack::Service;
use sqlx::PgPool;
use uuid::Uuid;

use super::Shop;
use crate::load::{HttpLoad, Ids, Requests, Shape};
use crate::probe::Limits;
use crate::report::{Aim, Figure, grouped};
use crate::samples::{self, Samples};
use crate::stats::{Summary, permille};
use crate::wire::Template;
use crate::zipf::Zipf;

const SEED: u64 = 42;
const PRODUCTS: usize = 100_000;
/// The first minute, in parts that one token outlives.
const FIRST_MINUTE: [Duration; 3] = [Duration::from_secs(20); 3];
/// What is counted, after the first minute.
const COUNTED: Duration = Duration::from_secs(20);
/// `--quick`: so many times less of everything.
const QUICK: usize = 10;
/// PostgreSQL's idle backends report what they did within 10 s.
const REPORTED: Duration = Duration::from_secs(11);
/// Of the reads, at most; in permille.
const DATABASE_PERMILLE: u64 = 30;

/// What the catalog and PostgreSQL have counted.
#[derive(Debug, Clone, Copy)]
struct Counts {
    /// Reads by the service's own metric, and those that PostgreSQL was asked for.
    reads: u64,
    database: u64,
    /// Rows of the products' table that PostgreSQL fetched by an index.
    rows: u64,
}

pub(super) async fn measure(shop: &Shop) -> Result<(Vec<Figure>, Vec<String>)> {
    let count = if shop.options.quick {
        PRODUCTS / QUICK
    } else {
        PRODUCTS
    };
    eprintln!("    loading {count} products of the sample catalog");
    ferrocart_sample_catalog::load(LoadOptions {
        gateway_url: shop.stack.url(Service::Gateway),
        merchant_token: shop.stack.access_token("merchant").await?,
        seed: SEED,
        products: count,
        progress: |_| {},
    })
    .await
    .context("load the sample catalog")?;
    shop.published(&[Service::Catalog, Service::Inventory]).await?;
    let pool = shop.database(Service::Catalog).await?;
    let zipf = Zipf::new(Arc::new(products(&pool).await?));
    let (mut fast, mut by_metric, mut by_rows) = (Samples::default(), Vec::new(), Vec::new());
    for run in 1..=shop.options.runs {
        let (sample, share) = cold_start(shop, &pool, &zipf, run)
            .await
            .with_context(|| format!("run {run}"))?;
        fast.push(sample);
        by_metric.push(share.0);
        by_rows.push(share.1);
    }
    pool.close().await;
    let wanted = vec![DATABASE_PERMILLE; shop.options.runs];
    let share = |name: &str, values| {
        Figure::new(name, " ‰", values).against("3 %", &wanted, Some(Aim::AtMost(1_000)))
    };
    let products = grouped(u64::try_from(count).unwrap_or(u64::MAX));
    let figures = vec![
        fast.rate(&format!(
            "{products} products by Zipf's law, after the first minute"
        )),
        share("  reads that the catalog asks PostgreSQL for", by_metric),
        share(
            "  rows of products that PostgreSQL says it fetched, a read",
            by_rows,
        ),
    ];
    let note = format!(
        "zipf: closed loop with {} clients at the catalog itself, which has just started, Redis flushed; the share is of \
         the reads after the first {} s",
        shop.options.shape.clients,
        seconds(shop, FIRST_MINUTE.iter().sum()).as_secs(),
    );
    Ok((figures, vec![note]))
}

/// The rate, and the shares of PostgreSQL: by the service's metric and by its own statistics.
async fn cold_start(
    shop: &Shop,
    pool: &PgPool,
    zipf: &Zipf,
    run: usize,
) -> Result<((Summary, Limits), (u64, u64))> {
    let catalog = shop.stack.process(Service::Catalog);
    catalog.stop().await?;
    flush(&shop.stack.redis_url()).await?;
    catalog.start().await?;
    catalog.wait_ready().await?;
    let mut part = u64::try_from(run).context("a run")? * 100;
    for lasts in FIRST_MINUTE {
        part += 1;
        read(shop, &zipf.seeded(part), seconds(shop, lasts), "cold").await?;
    }
    let before = counts(shop, pool).await?;
    let sample = read(shop, &zipf.seeded(part + 1), seconds(shop, COUNTED), "warm").await?;
    let after = counts(shop, pool).await?;
    let reads = after.reads - before.reads;
    ensure!(
        reads == sample.0.total(),
        "{} reads were answered, and the catalog counts {reads}",
        sample.0.total()
    );
    eprintln!(
        "    of {} reads PostgreSQL was asked for {}, and fetched {} rows",
        grouped(reads),
        grouped(after.database - before.database),
        grouped(after.rows - before.rows)
    );
    let share = (
        permille(after.database - before.database, reads),
        permille(after.rows - before.rows, reads),
    );
    Ok((sample, share))
}

fn seconds(shop: &Shop, full: Duration) -> Duration {
    let quick = u32::try_from(QUICK).unwrap_or(1);
    if shop.options.quick { full / quick } else { full }
}

async fn read(shop: &Shop, zipf: &Zipf, lasts: Duration, name: &str) -> Result<(Summary, Limits)> {
    let token = shop.issuer.service_token("catalog").context("sign a token")?;
    let load = HttpLoad {
        shape: Shape {
            clients: shop.options.shape.clients,
            warm_up: Duration::ZERO,
            lasts,
        },
        targets: vec![shop.address(Service::Catalog)],
        requests: Requests::Made(Template::get("/v1/products/@", &token), Ids::Zipf(zipf.clone())),
        wanted: 200,
        requests_max: u64::MAX,
        keep: false,
        every: None,
    };
    samples::drive(&shop.stack, &[], &format!("products by Zipf's law, {name}"), load).await
}

/// All active products, which of them are wanted most left to chance.
async fn products(pool: &PgPool) -> Result<Vec<Uuid>> {
    // As autovacuum would have left them.
    sqlx::query("ANALYZE").execute(pool).await.context("analyze")?;
    sqlx::query_scalar(
        "SELECT product_id FROM products WHERE status = 'active' ORDER BY md5(product_id::text)",
    )
    .fetch_all(pool)
    .await
    .context("list the products")
}

async fn flush(redis_url: &str) -> Result<()> {
    let client = redis::Client::open(redis_url).context("Redis's address")?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .context("connect to Redis")?;
    redis::cmd("FLUSHALL")
        .query_async::<()>(&mut connection)
        .await
        .context("flush Redis")
}

async fn counts(shop: &Shop, pool: &PgPool) -> Result<Counts> {
    tokio::time::sleep(REPORTED).await;
    let rows: i64 = sqlx::query_scalar(
        "SELECT coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'products'",
    )
    .fetch_one(pool)
    .await
    .context("PostgreSQL's statistics")?;
    let url = format!("{}/metrics", shop.stack.url(Service::Catalog));
    let text = shop.http.get(url).send().await?.text().await.context("metrics")?;
    let by_place = answered_by(&text);
    let database = by_place.iter().filter(|(place, _)| *place == "database");
    Ok(Counts {
        reads: by_place.iter().map(|(_, count)| count).sum(),
        database: database.map(|(_, count)| count).sum(),
        rows: u64::try_from(rows).unwrap_or(0),
    })
}

/// Reads of products by where they were answered.
fn answered_by(metrics: &str) -> Vec<(&str, u64)> {
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("catalog_product_reads_total{answered_by=\""));
    lines
        .filter_map(|rest| {
            let (place, count) = rest.split_once("\"} ")?;
            Some((place, count.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_is_read_by_place() {
        let text = "# TYPE catalog_product_reads_total counter\n\
                    catalog_product_reads_total{answered_by=\"process\"} 70\n\
                    catalog_product_reads_total{answered_by=\"database\"} 3\n\
                    catalog_list_reads_total{list=\"x\",answered_by=\"database\"} 9\n";
        assert_eq!(answered_by(text), [("process", 70), ("database", 3)]);
    }
}
