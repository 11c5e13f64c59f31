//! One SKU that everybody wants: the references, and reserving in process and over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ferrocart_stack::Service;

use super::{Bench, Load, UNITS, inserts, only};
use crate::child;
use crate::load::{self, HttpLoad, Ids, Requests, Shape, Skus};
use crate::naive::{self, Outcome};
use crate::stats::Summary;

/// So many connections are a crowd: a request of each may be under way.
pub(super) const CROWD: usize = 2_000;

/// Bare actix-web sending the body back, by as many connections as the others have or by a crowd's.
pub(super) async fn echo(bench: &mut Bench, load: Load) -> Result<()> {
    let shape = match load {
        Load::EchoCrowd => crowd(bench.options.shape),
        _ => bench.options.shape,
    };
    let probe = bench.begin().await?;
    let echo = bench.reserving(shape, Skus::one(), vec![bench.reference.echo])?;
    let body = r#"{"order_id":"@","items":[{"sku_id":"@","quantity":1}],"hold_seconds":3600}"#;
    let echo = HttpLoad {
        requests: Requests::Made(bench.template("/echo", body)?, Ids::Orders(Skus::one())),
        ..echo
    };
    let summary = echo.drive().await?.summary;
    only(&[201], &summary)?;
    bench.end(load, probe, summary).await
}

pub(super) fn crowd(shape: Shape) -> Shape {
    Shape {
        clients: CROWD,
        ..shape
    }
}

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    for load in [
        Load::Http,
        Load::NaiveHttp,
        Load::Core,
        Load::Naive,
        Load::Inserts,
        Load::HttpAlone,
        Load::NaiveHttpAlone,
    ] {
        turn(bench, load).await.with_context(|| format!("{load:?}"))?;
    }
    Ok(())
}

async fn turn(bench: &mut Bench, load: Load) -> Result<()> {
    bench.drain().await?;
    let skus = bench.stock(UNITS).await?;
    let probe = bench.begin().await?;
    let shape = bench.options.shape;
    let summary = match load {
        Load::Http => http(bench, shape, skus).await?,
        Load::HttpAlone => http(bench, alone(shape), skus).await?,
        Load::NaiveHttp => naive_http(bench, shape, skus).await?,
        Load::NaiveHttpAlone => naive_http(bench, alone(shape), skus).await?,
        Load::Core => core(bench, skus).await?,
        Load::Inserts => inserts::run(&bench.pool, shape).await?,
        _ => naive_in_process(bench, skus).await?,
    };
    let granted = if load == Load::Inserts {
        Summary::default()
    } else {
        summary.clone()
    };
    bench.check(skus, UNITS, &granted).await?;
    bench.end(load, probe, summary).await
}

async fn http(bench: &Bench, shape: Shape, skus: Skus) -> Result<Summary> {
    let load = bench.reserving(shape, skus, vec![bench.service])?;
    Ok(load.drive().await?.summary)
}

async fn naive_http(bench: &Bench, shape: Shape, skus: Skus) -> Result<Summary> {
    Ok(bench.reserving_naively(shape, skus)?.drive().await?.summary)
}

/// The service's own batcher, driven without HTTP by a process of its own.
pub(super) async fn core(bench: &Bench, skus: Skus) -> Result<Summary> {
    let program = bench.options.binaries.join("examples/inventory_core");
    let url = bench.stack.database_url(Service::Inventory)?;
    child::run_core(&program, &url, skus, bench.options.shape).await
}

pub(super) async fn naive_in_process(bench: &Bench, skus: Skus) -> Result<Summary> {
    let pool = bench.naive_pool.clone();
    load::in_process(bench.options.shape, move |order| {
        let pool = pool.clone();
        async move {
            match naive::reserve(&pool, order, skus.of_order(order), 1).await {
                Ok(Outcome::Granted) => 201,
                Ok(_) => 409,
                Err(_) => 503,
            }
        }
    })
    .await
}

/// Its window is longer: one client makes few requests.
fn alone(shape: Shape) -> Shape {
    Shape {
        clients: 1,
        lasts: shape.lasts + Duration::from_millis(500),
        ..shape
    }
}
