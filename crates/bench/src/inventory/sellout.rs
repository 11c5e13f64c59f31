//! 50,000 requests for 500 units: exactly 500 are granted, and the rest is told so fast.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::hot::crowd;
use super::setup::Kind;
use super::{Bench, Load};
use crate::load::{HttpLoad, Shape};

const UNITS: i64 = 500;
const REQUESTS: u64 = 50_000;
const QUICK_REQUESTS: u64 = 5_000;
/// Tokens are good for a minute.
const DEADLINE: Duration = Duration::from_secs(50);

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    let few = bench.options.shape;
    for (load, shape, kind) in [
        (Load::SellOut, few, Kind::Ordinary),
        (Load::SellOutCrowd, crowd(few), Kind::Ordinary),
        (Load::SellOutPreloaded, crowd(few), Kind::Preloaded),
    ] {
        let targets = vec![bench.service];
        sell_out(bench, load, (shape, kind), targets).await?;
    }
    Ok(())
}

/// Counts refusals from the first request on: what comes before the SKU is sold out is part of it. With
/// several targets the connections are spread over them evenly.
pub(super) async fn sell_out(
    bench: &mut Bench,
    load: Load,
    (shape, kind): (Shape, Kind),
    targets: Vec<SocketAddr>,
) -> Result<()> {
    bench.drain().await?;
    let skus = bench.stock(UNITS).await?;
    if kind == Kind::Preloaded {
        bench.preload(skus, &targets).await?;
    }
    let shape = Shape {
        warm_up: Duration::ZERO,
        lasts: DEADLINE,
        ..shape
    };
    let requests = if bench.options.quick {
        QUICK_REQUESTS
    } else {
        REQUESTS
    };
    let probe = bench.begin().await?;
    let http = HttpLoad {
        wanted: 409,
        requests_max: requests,
        ..bench.reserving(shape, skus, targets)?
    };
    let summary = http.drive().await?.summary;
    let (granted, refused) = (summary.answered(201), summary.answered(409));
    ensure!(
        summary.total() == requests,
        "{load:?}: only {} of {requests} requests were answered within {DEADLINE:?}",
        summary.total()
    );
    ensure!(
        i64::try_from(granted) == Ok(UNITS) && granted + refused == requests,
        "{load:?}: {granted} of {UNITS} units were granted and {refused} of {requests} requests refused: {:?}",
        summary.answers
    );
    let checked = bench.check(skus, UNITS, &summary).await;
    checked.with_context(|| format!("{load:?}"))?;
    bench.end(load, probe, summary).await?;
    bench.unload(skus).await
}
