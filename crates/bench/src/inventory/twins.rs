//! Two processes of the service on one database, one Redis and one Kafka.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::Service;
use ferrocart_types::{IdGen as _, SystemIds};
use uuid::Uuid;

use super::hot::crowd;
use super::sellout::sell_out;
use super::setup::Kind;
use super::{Bench, Load, RESERVE};
use crate::audit::{self, Told};
use crate::load::reservation_in;
use crate::wire::{Connection, Template};

/// How often a unit is released, each way.
const TRIES: usize = 7;
/// A unit that nobody can buy for so long is lost.
const SELL_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn round(bench: &mut Bench) -> Result<()> {
    let env = bench.stack.env_for(Service::Inventory)?;
    let twin = bench.another(Service::Order, env).await?;
    let both = vec![bench.service, twin.address];
    let few = bench.options.shape;
    for (load, shape, kind) in [
        (Load::TwinSellOut, few, Kind::Ordinary),
        (Load::TwinSellOutCrowd, crowd(few), Kind::Ordinary),
        (Load::TwinSellOutPreloaded, crowd(few), Kind::Preloaded),
    ] {
        sell_out(bench, load, (shape, kind), both.clone()).await?;
    }
    for kind in [Kind::Ordinary, Kind::Preloaded] {
        let took = released(bench, twin.address, kind).await?;
        eprintln!("    {kind:?}: released units were sold after {took:?} µs");
        bench.released_us.entry(kind).or_default().push(took);
    }
    bench.stop_other(twin).await
}

/// How long after the answer to a release the unit is sold again: to a client that asks the other process,
/// over and over, and to one that asks the same.
async fn released(bench: &mut Bench, twin: SocketAddr, kind: Kind) -> Result<Vec<u32>> {
    bench.drain().await?;
    let skus = bench.stock(1).await?;
    if kind == Kind::Preloaded {
        bench.preload(skus, &[bench.service, twin]).await?;
    }
    let mut buyers = [
        Buyer::arrive(bench, bench.service, skus.first()).await?,
        Buyer::arrive(bench, twin, skus.first()).await?,
    ];
    let mut took = Vec::new();
    let mut granted = 1;
    let mut reservation = buy(&mut buyers[0]).await?.context("the only unit is not sold")?;
    for _ in 0..TRIES {
        for (releases, buys) in [(0, 1), (1, 0), (0, 0)] {
            // Both know that it is sold out.
            for buyer in &mut buyers {
                ensure!(buy(buyer).await?.is_none(), "the only unit was sold twice");
            }
            buyers[releases].release(reservation).await?;
            let began = Instant::now();
            reservation = loop {
                if let Some(bought) = buy(&mut buyers[buys]).await? {
                    break bought;
                }
                ensure!(
                    began.elapsed() < SELL_DEADLINE,
                    "a released unit cannot be bought after {SELL_DEADLINE:?}"
                );
            };
            took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            granted += 1;
        }
    }
    let told = Told {
        units: 1,
        granted,
        released: granted - 1,
        unknown: 0,
    };
    audit::stock(&bench.pool, skus.first(), told).await?;
    bench.unload(skus).await?;
    Ok(took)
}

struct Buyer {
    connection: Connection,
    reserve: Template,
    release: Template,
    sku: Uuid,
}

impl Buyer {
    async fn arrive(bench: &Bench, at: SocketAddr, sku: Uuid) -> Result<Self> {
        let body = r#"{"order_id":"@","items":[{"sku_id":"@","quantity":1}]}"#;
        Ok(Self {
            connection: Connection::open(at).await?,
            reserve: bench.template(RESERVE, body)?,
            release: bench.template("/v1/inventory/release", r#"{"reservation_id":"@"}"#)?,
            sku,
        })
    }

    async fn release(&mut self, reservation: Uuid) -> Result<()> {
        let status = self
            .connection
            .exchange(self.release.with(&[reservation]))
            .await?;
        ensure!(status == 200, "a release was answered {status}");
        Ok(())
    }
}

/// The reservation, unless it is sold out.
async fn buy(buyer: &mut Buyer) -> Result<Option<Uuid>> {
    let request = buyer.reserve.with(&[SystemIds.next(), buyer.sku]);
    match buyer.connection.exchange(request).await? {
        201 => reservation_in(buyer.connection.received()).map(Some),
        409 => Ok(None),
        status => anyhow::bail!("a request to reserve was answered {status}"),
    }
}
