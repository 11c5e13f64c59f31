//! The inventory service against the naive design, bare actix-web and bare inserts, in turns on one database.

mod figures;
mod growth;
mod hot;
mod inserts;
mod moves;
mod outage;
mod sellout;
mod setup;
mod spread;
mod twins;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::TokenIssuer;
use ferrocart_stack::{Service, Stack};
use sqlx::PgPool;

pub(crate) use self::setup::issuer;
use crate::audit::{self, Told};
use crate::child::ReferenceServer;
use crate::load::{HttpLoad, Ids, Requests, Shape, Skus};
use crate::memory;
use crate::probe::{Limits, Probe};
use crate::report::{Figure, grouped};
use crate::stats::{Summary, per_second};
use crate::wire::Template;

/// Enough for every load.
const UNITS: i64 = 1_000_000_000;
/// How long the events of one load may take to be published.
const DRAIN_DEADLINE: Duration = Duration::from_mins(5);
const DRAIN_POLL: Duration = Duration::from_millis(20);
const RESERVE: &str = "/v1/inventory/reserve";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// One SKU that everybody wants
    Hot,
    /// 50,000 requests for 500 units
    Sellout,
    /// The same with two processes of the service
    Replicas,
    /// 10,000 SKUs that are wanted alike
    Spread,
    /// Without Redis
    Redis,
    /// With up to a million open reservations
    Growth,
    /// Confirm and release
    Moves,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Hot,
        Self::Sellout,
        Self::Replicas,
        Self::Spread,
        Self::Redis,
        Self::Growth,
        Self::Moves,
    ];
}

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub shape: Shape,
    pub parts: Vec<Part>,
    /// Of the services, and of the core's load.
    pub binaries: PathBuf,
    /// Smaller tables and fewer requests, to see that it works.
    pub quick: bool,
}

/// One contestant in one discipline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Echo,
    EchoCrowd,
    Http,
    NaiveHttp,
    Core,
    Naive,
    Inserts,
    HttpAlone,
    NaiveHttpAlone,
    SellOut,
    SellOutCrowd,
    SellOutPreloaded,
    TwinSellOut,
    TwinSellOutCrowd,
    TwinSellOutPreloaded,
    SpreadHttp,
    SpreadNaiveHttp,
    SpreadCore,
    SpreadNaive,
    RedisUp,
    RedisPaused,
    RedisDown,
    /// By open reservations.
    Growth(u32),
    Confirm,
    NaiveConfirm,
    Release,
    NaiveRelease,
}

#[derive(Debug, Clone)]
struct Sample {
    summary: Summary,
    limits: Limits,
}

/// What the loads run on.
struct Bench {
    options: Options,
    stack: Stack,
    pool: PgPool,
    naive_pool: PgPool,
    reference: ReferenceServer,
    gateway: TokenIssuer,
    http: reqwest::Client,
    /// Where the inventory service of the stack is.
    service: SocketAddr,
    /// Other processes of the service that run just now.
    extra: Vec<u32>,
    /// 10,000 of them, and how many units of them are reserved.
    spread: Option<(Skus, u64)>,
    growth: Option<growth::Databases>,
    samples: BTreeMap<Load, Vec<Sample>>,
    /// After how many microseconds a released unit was sold, by run.
    released_us: BTreeMap<setup::Kind, Vec<Vec<u32>>>,
    /// The largest process of the service that was seen.
    memory_kib: u64,
    /// Events published a second while nothing else went on.
    drained: Vec<u64>,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let mut bench = Bench::prepare(options).await?;
    // A round that does not count: connections, plans, caches and the broker's virtual machine get warm.
    let shape = bench.options.shape;
    bench.options.shape.lasts = shape.lasts / 2;
    bench.round().await.context("the warm-up")?;
    bench.options.shape = shape;
    bench.drained.clear();
    bench.samples.clear();
    bench.released_us.clear();
    for run in 1..=bench.options.runs {
        eprintln!("  run {run} of {}", bench.options.runs);
        bench.round().await.with_context(|| format!("run {run}"))?;
    }
    let skus = audit::reservations(&bench.pool).await?;
    let figures = bench.figures();
    let loads: usize = bench.samples.values().map(Vec::len).sum();
    let notes = vec![format!(
        "inventory: {loads} loads; after all of them the reservations of all {skus} SKUs add up to their counters"
    )];
    bench.reference.stop().await?;
    Ok((figures, notes))
}

impl Bench {
    /// Every contestant once.
    async fn round(&mut self) -> Result<()> {
        let parts = self.options.parts.clone();
        let any = |of: &[Part]| of.iter().any(|part| parts.contains(part));
        if any(&[Part::Hot, Part::Sellout, Part::Replicas]) {
            hot::echo(self, Load::Echo).await?;
        }
        if any(&[Part::Sellout, Part::Replicas]) {
            hot::echo(self, Load::EchoCrowd).await?;
        }
        for part in parts {
            let done = match part {
                Part::Hot => hot::round(self).await,
                Part::Sellout => sellout::round(self).await,
                Part::Replicas => twins::round(self).await,
                Part::Spread => spread::round(self).await,
                Part::Redis => outage::round(self).await,
                Part::Growth => growth::round(self).await,
                Part::Moves => moves::round(self).await,
            };
            done.with_context(|| format!("{part:?}"))?;
        }
        Ok(())
    }

    /// A load begins when the events of the one before are published.
    async fn begin(&mut self) -> Result<Probe> {
        self.drain().await?;
        let mut others: Vec<(&str, u32)> = self.extra.iter().map(|pid| ("inventory, other", *pid)).collect();
        others.extend(self.reference.pid().map(|pid| ("reference", pid)));
        Ok(Probe::start(&self.stack, &others))
    }

    async fn end(&mut self, load: Load, probe: Probe, summary: Summary) -> Result<()> {
        let limits = probe.finish().await?;
        let own = self.stack.process(Service::Inventory).pid();
        let own = own.and_then(|pid| u32::try_from(pid).ok());
        for pid in own.iter().chain(&self.extra) {
            self.memory_kib = self.memory_kib.max(memory::peak_kib(*pid).unwrap_or(0));
        }
        eprintln!(
            "    {load:?}: {}/s, p50 {} µs, p99 {} µs",
            grouped(summary.per_second),
            summary.p50_us,
            summary.p99_us
        );
        self.samples
            .entry(load)
            .or_default()
            .push(Sample { summary, limits });
        Ok(())
    }

    /// A load of reservations on the service, or on a service elsewhere.
    fn reserving(&self, shape: Shape, skus: Skus, targets: Vec<SocketAddr>) -> Result<HttpLoad> {
        // An hour, so that nothing expires during the benchmark.
        let body = r#"{"order_id":"@","items":[{"sku_id":"@","quantity":1}],"hold_seconds":3600}"#;
        Ok(HttpLoad {
            shape,
            targets,
            requests: Requests::Made(self.template(RESERVE, body)?, Ids::Orders(skus)),
            wanted: 201,
            requests_max: u64::MAX,
            keep: false,
            every: None,
        })
    }

    /// The same on the reference.
    fn reserving_naively(&self, shape: Shape, skus: Skus) -> Result<HttpLoad> {
        let body = r#"{"order_id":"@","items":[{"sku_id":"@","quantity":1}]}"#;
        Ok(HttpLoad {
            requests: Requests::Made(self.template("/naive/reserve", body)?, Ids::Orders(skus)),
            ..self.reserving(shape, skus, vec![self.reference.naive])?
        })
    }

    /// With a token that is new, so that it outlives the load.
    fn template(&self, path: &str, body: &str) -> Result<Template> {
        let issuer = issuer(&self.stack, Service::Order, "order")?;
        let token = issuer.service_token("inventory").context("sign a token")?;
        Ok(Template::post(path, &token, body))
    }

    /// I1 after a load on a SKU of its own.
    async fn check(&self, skus: Skus, units: i64, summary: &Summary) -> Result<()> {
        only(&[201, 409], summary)?;
        let told = Told {
            units,
            granted: summary.answered(201),
            released: 0,
            unknown: 0,
        };
        audit::stock(&self.pool, skus.first(), told).await
    }

    /// Waits until everything is published, so that no load works off what another has left.
    async fn drain(&mut self) -> Result<()> {
        let waiting: i64 = sqlx::query_scalar("SELECT COALESCE(sum(event_count), 0)::bigint FROM outbox")
            .fetch_one(&self.pool)
            .await
            .context("count the outbox")?;
        let lasted = published(&self.pool).await?;
        let waiting = u64::try_from(waiting).unwrap_or(0);
        // Fewer say more about the polling than about the relay.
        if waiting > 10_000 {
            self.drained.push(per_second(waiting, lasted));
        }
        Ok(())
    }
}

/// Waits until the outbox is empty; how long that took.
async fn published(pool: &PgPool) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox)")
            .fetch_one(pool)
            .await
            .context("look at the outbox")?;
        if !left {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < DRAIN_DEADLINE,
            "the outbox is not published within {DRAIN_DEADLINE:?}"
        );
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// A figure is one only if every request got an answer that it could get.
fn only(statuses: &[u16], summary: &Summary) -> Result<()> {
    let expected: u64 = statuses.iter().map(|status| summary.answered(*status)).sum();
    ensure!(
        summary.total() == expected,
        "some requests got another answer than {statuses:?}: {:?}",
        summary.answers
    );
    Ok(())
}
