//! 10,000 SKUs that are wanted alike.

use anyhow::{Context as _, Result};
use sqlx::PgPool;

use super::{Bench, Load, hot, only};
use crate::audit;
use crate::load::Skus;

const SKUS: u32 = 10_000;
const UNITS_EACH: i64 = 1_000_000;

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    for load in [
        Load::SpreadHttp,
        Load::SpreadNaiveHttp,
        Load::SpreadCore,
        Load::SpreadNaive,
    ] {
        turn(bench, load).await.with_context(|| format!("{load:?}"))?;
    }
    Ok(())
}

async fn turn(bench: &mut Bench, load: Load) -> Result<()> {
    let (skus, sold) = match bench.spread {
        Some(known) => known,
        None => (stock_up(&bench.pool, SKUS, UNITS_EACH).await?, 0),
    };
    let probe = bench.begin().await?;
    let shape = bench.options.shape;
    let summary = match load {
        Load::SpreadHttp => {
            let load = bench.reserving(shape, skus, vec![bench.service])?;
            load.drive().await?.summary
        }
        Load::SpreadNaiveHttp => bench.reserving_naively(shape, skus)?.drive().await?.summary,
        Load::SpreadCore => hot::core(bench, skus).await?,
        _ => hot::naive_in_process(bench, skus).await?,
    };
    only(&[201], &summary)?;
    let sold = sold + summary.answered(201);
    bench.spread = Some((skus, sold));
    audit::many(&bench.pool, &skus.all(), sold).await?;
    bench.end(load, probe, summary).await
}

/// New SKUs as the service would have written them.
pub(super) async fn stock_up(pool: &PgPool, count: u32, units: i64) -> Result<Skus> {
    let skus = Skus::new(count);
    sqlx::query(
        "WITH new AS (
             INSERT INTO stock (sku_id, on_hand, reserved, version, created_at, updated_at)
             SELECT s, $2, 0, 1, now(), now() FROM UNNEST($1::uuid[]) s RETURNING sku_id
         )
         INSERT INTO stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, actor, at)
         SELECT sku_id, 1, 'INITIALIZED', $2, 0, 'service:order', now() FROM new",
    )
    .bind(skus.all())
    .bind(units)
    .execute(pool)
    .await
    .context("stock many SKUs up")?;
    Ok(skus)
}
