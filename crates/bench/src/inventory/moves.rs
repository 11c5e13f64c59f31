//! Confirm and release: batched by the service, one by one by the naive design.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Load, UNITS, only};
use crate::audit::{self, Told};
use crate::load::{HttpLoad, Ids, Kept, Requests, Shape};

/// Of one load of the service, and of the naive design, which takes longer for each.
const MOVES: usize = 20_000;
const NAIVE_MOVES: usize = 3_000;

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    bench.drain().await?;
    let skus = bench.stock(UNITS).await?;
    let (moves, naive_moves) = if bench.options.quick {
        (MOVES / 10, NAIVE_MOVES / 10)
    } else {
        (MOVES, NAIVE_MOVES)
    };
    let shape = Shape {
        warm_up: Duration::ZERO,
        lasts: Duration::from_secs(40),
        ..bench.options.shape
    };
    let wanted = moves + naive_moves;
    let reserve = HttpLoad {
        requests_max: u64::try_from(wanted).context("a count")?,
        keep: true,
        every: None,
        ..bench.reserving(shape, skus, vec![bench.service])?
    };
    let reserved = reserve.drive().await?.kept;
    ensure!(
        reserved.len() == wanted,
        "{} of {wanted} were reserved",
        reserved.len()
    );
    let (ours, theirs) = reserved.split_at(moves);
    // The naive design calls a reservation by its order.
    let ours = Arc::new(ours.iter().map(|(_, reservation)| *reservation).collect());
    let theirs = Arc::new(theirs.iter().map(|(order, _): &Kept| *order).collect());
    for (load, ids) in [
        (Load::Confirm, &ours),
        (Load::NaiveConfirm, &theirs),
        (Load::Release, &ours),
        (Load::NaiveRelease, &theirs),
    ] {
        turn(bench, load, shape, Arc::clone(ids)).await?;
    }
    let granted = u64::try_from(wanted).context("a count")?;
    let told = Told {
        units: UNITS,
        granted,
        released: granted,
        unknown: 0,
    };
    audit::stock(&bench.pool, skus.first(), told).await
}

async fn turn(bench: &mut Bench, load: Load, shape: Shape, ids: Arc<Vec<uuid::Uuid>>) -> Result<()> {
    let (path, target) = match load {
        Load::Confirm => ("/v1/inventory/confirm", bench.service),
        Load::Release => ("/v1/inventory/release", bench.service),
        Load::NaiveConfirm => ("/naive/confirm", bench.reference.naive),
        _ => ("/naive/release", bench.reference.naive),
    };
    let probe = bench.begin().await?;
    let http = HttpLoad {
        shape,
        targets: vec![target],
        requests_max: u64::try_from(ids.len()).context("a count")?,
        requests: Requests::Made(
            bench.template(path, r#"{"reservation_id":"@"}"#)?,
            Ids::Given(ids),
        ),
        wanted: 200,
        keep: false,
        every: None,
    };
    let summary = http.drive().await?.summary;
    only(&[200], &summary).with_context(|| format!("{load:?}"))?;
    bench.end(load, probe, summary).await
}
