//! A SKU that is admitted through Redis: with Redis, with one that hangs, and without.

use anyhow::{Context as _, Result};
use ferrocart_stack::Component;

use super::{Bench, Load, UNITS};
use crate::load::Skus;

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    for load in [Load::RedisUp, Load::RedisPaused, Load::RedisDown] {
        turn(bench, load).await.with_context(|| format!("{load:?}"))?;
    }
    Ok(())
}

async fn turn(bench: &mut Bench, load: Load) -> Result<()> {
    bench.drain().await?;
    let skus = bench.stock(UNITS).await?;
    let service = [bench.service];
    bench.preload(skus, &service).await?;
    let redis = || bench.stack.process(Component::Redis);
    match load {
        Load::RedisPaused => redis().pause()?,
        Load::RedisDown => redis().stop().await?,
        _ => {}
    }
    let measured = measure(bench, load, skus).await;
    let redis = bench.stack.process(Component::Redis);
    match load {
        Load::RedisPaused => {
            redis.resume()?;
            redis.wait_ready().await?;
        }
        Load::RedisDown => redis.start().await?,
        _ => {}
    }
    measured?;
    // In use again before anything else is measured.
    bench.wait_for_counter(skus, &service).await?;
    bench.unload(skus).await
}

async fn measure(bench: &mut Bench, load: Load, skus: Skus) -> Result<()> {
    let probe = bench.begin().await?;
    let http = bench.reserving(bench.options.shape, skus, vec![bench.service])?;
    let summary = http.drive().await?.summary;
    bench.check(skus, UNITS, &summary).await?;
    bench.end(load, probe, summary).await
}
