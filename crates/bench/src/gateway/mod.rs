//! What the gateway costs: reads of a product with a customer's token, checked and counted, beside nginx before
//! the same upstream, and the upstream itself.

mod nginx;
mod streams;
pub mod upstream;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use ferrocart_stack::{Builder, Component, Components, Service, Stack};
use ferrocart_types::{IdGen as _, SystemIds};
use serde_json::json;

use self::nginx::Nginx;
use crate::checkout::{buyer, post};
use crate::child::OwnCommand;
use crate::load::{HttpLoad, Ids, Requests, Shape, Skus};
use crate::probe::Limits;
use crate::report::{Aim, Figure};
use crate::samples::{self, Samples};
use crate::stats::Summary;
use crate::wire::Template;

/// What the gateway may add to the 99th percentile, in microseconds.
const ADDED_US: u64 = 2_000;
/// What the gateway may have in memory with all streams open, in KiB.
const STREAMS_KIB: u64 = 100 * 1024;

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub shape: Shape,
    /// Idle streams that are open at once.
    pub streams: usize,
    pub binaries: PathBuf,
}

struct Upstream {
    process: OwnCommand,
    address: SocketAddr,
}

impl Upstream {
    async fn start() -> Result<Self> {
        let process = OwnCommand::start("upstream", &BTreeMap::new(), Stdio::null()).await?;
        Ok(Self {
            address: process.says.parse().context("the upstream's address")?,
            process,
        })
    }
}

/// One contestant's loads, run by run.
#[derive(Default)]
struct Contestant {
    fast: Samples,
    /// At half of the gateway's rate.
    half: Samples,
}

/// Counted as always, and out of reach: one customer reads as a whole shop does.
pub(crate) fn unlimited(mut builder: Builder) -> Builder {
    for limit in [
        "GLOBAL", "ADDRESS", "USER", "READ", "WRITE", "IMPORT", "AUTH", "STREAM",
    ] {
        for part in ["PER_SECOND", "BURST"] {
            builder = builder.env(Service::Gateway, format!("LIMITS__{limit}__{part}"), "1000000");
        }
    }
    builder
}

struct Bench {
    options: Options,
    stack: Stack,
    upstream: Upstream,
    nginx: Option<Nginx>,
    http: reqwest::Client,
    token: String,
    path: String,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let bench = Bench::prepare(options).await?;
    let (mut upstream, mut gateway) = (Contestant::default(), Contestant::default());
    let mut nginx = Samples::default();
    // The first round is to get warm.
    for run in 0..=bench.options.runs {
        let own = bench
            .load("the upstream itself", bench.upstream.address, "", None)
            .await?;
        let beside = match &bench.nginx {
            Some(nginx) => Some(bench.load("nginx", nginx.address, "", None).await?),
            None => None,
        };
        let through = bench
            .load("the gateway", bench.gateway(), &bench.token, None)
            .await?;
        let half = Some((through.0.per_second / 2).max(1));
        let name = "the upstream, half the gateway's rate";
        let own_half = bench.load(name, bench.upstream.address, "", half).await?;
        let name = "the gateway, half its rate";
        let through_half = bench.load(name, bench.gateway(), &bench.token, half).await?;
        if run == 0 {
            continue;
        }
        upstream.fast.push(own);
        upstream.half.push(own_half);
        if let Some(sample) = beside {
            nginx.push(sample);
        }
        gateway.fast.push(through);
        gateway.half.push(through_half);
    }
    let mut figures = figures(&upstream, &nginx, &gateway);
    let (streams, mut notes) = streams::measure(&bench).await.context("idle streams")?;
    figures.push(streams);
    if let Some(nginx) = bench.nginx {
        nginx.stop().await?;
    } else {
        notes.push("gateway: there is no nginx on this machine to compare with".to_owned());
    }
    notes.push(
        "gateway: a product of 1.4 KB with a token that the gateway has seen, rate limits counted in Redis and not reached; \
         nginx checks and counts nothing"
            .to_owned(),
    );
    Ok((figures, notes))
}

fn figures(upstream: &Contestant, nginx: &Samples, gateway: &Contestant) -> Vec<Figure> {
    let own = upstream.fast.per_second();
    let mut figures = vec![
        upstream
            .fast
            .rate("a product from the upstream itself, 64 clients"),
        gateway.fast.rate("a product through the gateway").against(
            "the upstream itself",
            &own,
            Some(Aim::AtLeast(350)),
        ),
    ];
    let beside = nginx.per_second();
    if !beside.is_empty() {
        figures.push(
            nginx
                .rate("a product through nginx")
                .against("the upstream itself", &own, None),
        );
        figures.push(
            Figure::new("a product through the gateway", "/s", gateway.fast.per_second()).against(
                "nginx",
                &beside,
                Some(Aim::AtLeast(500)),
            ),
        );
    }
    let (own, through) = (upstream.half.p99_us(), gateway.half.p99_us());
    let added: Vec<u64> = through
        .iter()
        .zip(&own)
        .map(|(through, own)| through.saturating_sub(*own))
        .collect();
    let allowed = vec![ADDED_US; added.len()];
    figures.push(Figure::new(
        "  at half of that rate: p99 through the gateway",
        " µs",
        through,
    ));
    figures.push(Figure::new(
        "  at half of that rate: p99 of the upstream itself",
        " µs",
        own,
    ));
    figures.push(
        Figure::new("  at half of that rate: p99 that the gateway adds", " µs", added).against(
            "2 ms",
            &allowed,
            Some(Aim::AtMost(1_000)),
        ),
    );
    figures
}

impl Bench {
    async fn prepare(options: Options) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let url = format!("http://{}", upstream.address);
        let mut components = Component::STORES.to_vec();
        components.push(Service::Gateway.into());
        let builder = Stack::builder()
            .components(Components::Of(components))
            .binaries(&options.binaries)
            .env(Service::Gateway, "CATALOG_URL", url.clone())
            .env(Service::Gateway, "ORDER_URL", url);
        let stack = unlimited(builder).start().await.context("bring the gateway up")?;
        let nginx = match nginx::program() {
            Some(program) => Some(Nginx::start(&program, stack.folder(), upstream.address).await?),
            None => None,
        };
        let mut bench = Self {
            options,
            stack,
            upstream,
            nginx,
            http: buyer(0)?,
            token: String::new(),
            path: format!("/v1/products/{}", SystemIds.next()),
        };
        bench.token = bench.guest().await?;
        Ok(bench)
    }

    /// A new guest's token.
    async fn guest(&self) -> Result<String> {
        let gateway = self.stack.url(Service::Gateway);
        let session = post(&self.http, &gateway, "", "/v1/auth/guest", &json!({})).await?;
        let token = session["access_token"].as_str().context("a guest's token")?;
        Ok(token.to_owned())
    }

    fn gateway(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.stack.port(Service::Gateway)))
    }

    /// As fast as it goes, or at that rate.
    async fn load(
        &self,
        name: &str,
        target: SocketAddr,
        token: &str,
        per_second: Option<u64>,
    ) -> Result<(Summary, Limits)> {
        let shape = self.options.shape;
        let mut others: Vec<(&str, u32)> = Vec::new();
        others.extend(self.upstream.process.pid().map(|pid| ("upstream", pid)));
        others.extend(self.nginx.as_ref().and_then(Nginx::pid).map(|pid| ("nginx", pid)));
        let load = HttpLoad {
            shape,
            targets: vec![target],
            // There is no place for ids.
            requests: Requests::Made(Template::get(&self.path, token), Ids::Orders(Skus::one())),
            wanted: 200,
            requests_max: u64::MAX,
            keep: false,
            every: per_second.map(|rate| shape.every(rate)),
        };
        samples::drive(&self.stack, &others, name, load).await
    }
}
