//! With Redis and without it.

use anyhow::{Context as _, Result};
use ferrocart_stack::Component;

use super::{Bench, Load, UNITS};

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    turn(bench, Load::RedisUp).await?;
    let redis = bench.stack.process(Component::Redis);
    redis.stop().await.context("stop Redis")?;
    turn(bench, Load::RedisDown).await?;
    let redis = bench.stack.process(Component::Redis);
    redis.start().await.context("start Redis again")
}

async fn turn(bench: &mut Bench, load: Load) -> Result<()> {
    bench.drain().await?;
    let skus = bench.stock(UNITS).await?;
    let probe = bench.begin().await?;
    let http = bench.reserving(bench.options.shape, skus, vec![bench.service])?;
    let summary = http.drive().await?.summary;
    bench.check(skus, UNITS, &summary).await?;
    bench.end(load, probe, summary).await
}
