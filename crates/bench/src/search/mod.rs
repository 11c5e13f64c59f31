//! Searching a large index, and making a very large one. The events are put on topics of their own, so that the catalog
//! has no part in it.

mod events;
mod queries;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::TokenIssuer;
use ferrocart_stack::{Component, Components, Service, Stack};
use serde::Deserialize;

use self::events::Topics;
use self::queries::Wishes;
use crate::checkout::buyer;
use crate::child::{ServiceProcess, ServiceStart};
use crate::inventory::issuer;
use crate::load::{HttpLoad, Requests, Shape};
use crate::memory;
use crate::probe::Limits;
use crate::report::{Aim, Figure, grouped};
use crate::samples::{self, Samples};
use crate::stats::Summary;

const SEARCHED: usize = 100_000;
const INDEXED: usize = 1_000_000;
/// `--quick`: so many times less of everything.
const QUICK: usize = 20;
const ALL_FACETS: &str = "category,brand,price,rating,in_stock,attributes";
/// Of a search at half of the rate, in microseconds.
const P99_US: u64 = 20_000;
/// More than a load can ask.
const REQUESTS: u64 = 30_000;
const INDEXED_DEADLINE: Duration = Duration::from_hours(2);
const INDEXED_POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub shape: Shape,
    pub binaries: PathBuf,
    pub quick: bool,
}

struct Bench {
    options: Options,
    stack: Stack,
    http: reqwest::Client,
    /// The gateway's.
    issuer: TokenIssuer,
}

/// An index that knows all that was published, and the service that serves it.
struct Index {
    service: ServiceProcess,
    took: Duration,
    /// The most that it had in memory of its own, without the index's files; in KiB.
    own_kib: u64,
    /// Files that were mapped included; in KiB.
    peak_kib: u64,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let stack = Stack::builder()
        .components(Components::Of(Component::STORES.to_vec()))
        .binaries(&options.binaries)
        .start()
        .await
        .context("bring the stores up")?;
    let bench = Bench {
        issuer: issuer(&stack, Service::Gateway, "gateway")?,
        http: buyer(0)?,
        options,
        stack,
    };
    let size = |full| if bench.options.quick { full / QUICK } else { full };
    let (searched, indexed) = (size(SEARCHED), size(INDEXED));
    let wishes = Wishes::of(events::products(searched));
    let index = bench.index(searched, true).await?;
    let (mut figures, mut notes) = bench.searches(&index, searched, &wishes).await?;
    index.service.stop().await?;
    let index = bench.index(indexed, false).await?;
    let name = |what: &str| format!("search: {} products indexed: {what}", products(indexed));
    let seconds = index.took.as_secs().max(1);
    let rate = u64::try_from(indexed).unwrap_or(u64::MAX) / seconds;
    figures.extend([
        Figure::new(&name("time"), " s", vec![seconds]),
        Figure::new(&name("products a second"), "/s", vec![rate]),
        Figure::new(&name("most memory of its own"), " KiB", vec![index.own_kib]),
        Figure::new(
            &name("most memory, mapped files included"),
            " KiB",
            vec![index.peak_kib],
        ),
    ]);
    let mut plain = Samples::default();
    for run in 0..=bench.options.runs {
        let sample = bench.search(&index, &wishes, ("", 1_000 + run), None).await?;
        if run > 0 {
            plain.push(sample);
        }
    }
    figures.push(plain.rate(&format!("a search of {} products", products(indexed))));
    index.service.stop().await?;
    bench.stack.down().await?;
    notes.push(format!(
        "search: {} products were published before the service that indexed them started, without their stock; {} with",
        products(indexed),
        products(searched)
    ));
    Ok((figures, notes))
}

fn products(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}

#[derive(Deserialize)]
struct Status {
    documents: u64,
    caught_up: bool,
}

impl Bench {
    /// Publishes so many products, and then starts a service that has never seen any.
    async fn index(&self, count: usize, with_stock: bool) -> Result<Index> {
        eprintln!("    publishing {} products", products(count));
        let prefix = format!("bench-{count}-");
        let topics = Topics::create(&self.stack.kafka_brokers(), &prefix).await?;
        topics.publish(count, with_stock).await?;
        let program = self.options.binaries.join(Service::Search.binary());
        let folder = self.stack.folder();
        let mut env = self.stack.env_for(Service::Search)?;
        env.insert("KAFKA_TOPIC_PREFIX".to_owned(), prefix);
        let index = folder.join(format!("index-{count}"));
        env.insert("INDEX_DIR".to_owned(), index.display().to_string());
        let start = ServiceStart {
            // The service runs in another working folder; relative paths are ours.
            program: program.canonicalize().unwrap_or(program),
            env,
            port: self.stack.port(Service::Search),
            log: folder.join("search-bench.log"),
        };
        let began = Instant::now();
        let service = ServiceProcess::start(start, &self.http).await?;
        let pid = service.pid().context("the search service has ended")?;
        let mut own_kib = 0;
        loop {
            own_kib = own_kib.max(memory::own_kib(pid).unwrap_or(0));
            let status = self.status(service.address).await?;
            if status.caught_up && usize::try_from(status.documents).is_ok_and(|found| found == count) {
                break;
            }
            ensure!(
                began.elapsed() < INDEXED_DEADLINE,
                "{} of {} products were indexed in time",
                grouped(status.documents),
                products(count)
            );
            tokio::time::sleep(INDEXED_POLL).await;
        }
        let took = began.elapsed();
        eprintln!("    indexed within {} s", took.as_secs());
        Ok(Index {
            took,
            own_kib,
            peak_kib: memory::peak_kib(pid).unwrap_or(0),
            service,
        })
    }

    async fn status(&self, at: SocketAddr) -> Result<Status> {
        let token = self.issuer.service_token("search").context("sign a token")?;
        let url = format!("http://{at}/internal/v1/index");
        let answer = self
            .http
            .get(url)
            .bearer_auth(token)
            .send()
            .await
            .context("the index")?;
        answer.json().await.context("the index")
    }

    async fn searches(
        &self,
        index: &Index,
        count: usize,
        wishes: &Wishes,
    ) -> Result<(Vec<Figure>, Vec<String>)> {
        let (mut plain, mut plain_half) = (Samples::default(), Samples::default());
        let (mut facets, mut facets_half) = (Samples::default(), Samples::default());
        // The first round is to get warm.
        for run in 0..=self.options.runs {
            let load = |facets, load| (facets, run * 10 + load);
            let fast = self.search(index, wishes, load("", 0), None).await?;
            let rate = Some((fast.0.per_second / 2).max(1));
            let half = self.search(index, wishes, load("", 1), rate).await?;
            let faceted = self.search(index, wishes, load(ALL_FACETS, 2), None).await?;
            let rate = Some((faceted.0.per_second / 2).max(1));
            let faceted_half = self.search(index, wishes, load(ALL_FACETS, 3), rate).await?;
            if run == 0 {
                continue;
            }
            plain.push(fast);
            plain_half.push(half);
            facets.push(faceted);
            facets_half.push(faceted_half);
        }
        let wanted = vec![P99_US; self.options.runs];
        let in_time = |samples: &Samples| {
            Figure::new("  at half of that rate: p99", " µs", samples.p99_us()).against(
                "20 ms",
                &wanted,
                Some(Aim::AtMost(1_000)),
            )
        };
        let clients = self.options.shape.clients;
        let figures = vec![
            plain.rate(&format!(
                "a search of {} products, {clients} clients",
                products(count)
            )),
            Figure::new("  at half of that rate: p50", " µs", plain_half.p50_us()),
            in_time(&plain_half),
            facets.rate("a search with all facets").against(
                "without",
                &plain.per_second(),
                Some(Aim::AtLeast(333)),
            ),
            Figure::new("  at half of that rate: p50", " µs", facets_half.p50_us()),
            in_time(&facets_half),
        ];
        let note = "search: two words of a product's title and a highest price, 20 hits, at the service itself; hardly a \
                    search comes twice, so that the cache of results is looked into and has nothing"
            .to_owned();
        Ok((figures, vec![note]))
    }

    async fn search(
        &self,
        index: &Index,
        wishes: &Wishes,
        (facets, seed): (&str, usize),
        per_second: Option<u64>,
    ) -> Result<(Summary, Limits)> {
        let shape = self.options.shape;
        let token = self.issuer.service_token("search").context("sign a token")?;
        let seed = u64::try_from(seed).context("a seed")?;
        let load = HttpLoad {
            shape,
            targets: vec![index.service.address],
            requests: Requests::InTurn(wishes.requests((&token, facets), REQUESTS, seed)?),
            wanted: 200,
            requests_max: REQUESTS,
            keep: false,
            every: per_second.map(|rate| shape.every(rate)),
        };
        let name = match (facets, per_second) {
            ("", None) => "searches",
            ("", Some(_)) => "searches, half the rate",
            (_, None) => "searches with facets",
            (_, Some(_)) => "searches with facets, half the rate",
        };
        let others: Vec<(&str, u32)> = index
            .service
            .pid()
            .map(|pid| ("search", pid))
            .into_iter()
            .collect();
        samples::drive(&self.stack, &others, name, load).await
    }
}
