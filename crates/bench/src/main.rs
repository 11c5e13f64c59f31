//! Runs the benchmarks and prints one table.
#![allow(clippy::print_stdout, reason = "the table is for people")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use ferrocart_bench::load::Shape;
use ferrocart_bench::machine::Machine;
use ferrocart_bench::report::{Figure, Report};
use ferrocart_bench::{browse, checkout, events, gateway, inventory, reference, relevance, search};

/// Measures the platform on this machine against references measured in the same run. It starts a private
/// stack of release binaries with default settings, checks the promises after every load, and stops
/// all that it started.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Short loads: to see that it works, not to compare
    #[arg(long)]
    quick: bool,
    /// What is measured; everything by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each contestant takes its turn
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many checkouts a load has, instead of 600 (200 with --quick)
    #[arg(long)]
    checkouts: Option<usize>,
    /// Where the figures go as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// The folder of the release binaries; without it the one that holds this program
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// The search service's engine in the relevance part: `embedded` or a cluster's URL
    #[arg(long, default_value = "embedded")]
    search_engine: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All of the inventory's
    Inventory,
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
    /// From a filled cart to a confirmed order
    Checkout,
    /// From an outbox to a consumer
    Events,
    /// What the gateway costs, beside nginx
    Gateway,
    /// A product's page, warm
    Browse,
    /// Carts
    Cart,
    /// Very many products, cold
    Zipf,
    /// Searching a large index, and making a very large one
    Search,
    /// How well judged queries are answered
    Relevance,
}

impl Part {
    fn of_inventory(self) -> &'static [inventory::Part] {
        use inventory::Part as Own;
        match self {
            Self::Inventory => &Own::ALL,
            Self::Hot => &[Own::Hot],
            Self::Sellout => &[Own::Sellout],
            Self::Replicas => &[Own::Replicas],
            Self::Spread => &[Own::Spread],
            Self::Redis => &[Own::Redis],
            Self::Growth => &[Own::Growth],
            Self::Moves => &[Own::Moves],
            Self::Checkout
            | Self::Events
            | Self::Gateway
            | Self::Browse
            | Self::Cart
            | Self::Zipf
            | Self::Search
            | Self::Relevance => &[],
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Serves the references; the benchmark starts it by itself
    #[command(hide = true)]
    Reference {
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        /// The public keys of all services
        #[arg(long, env = "INTERNAL_JWKS_FILE")]
        jwks: PathBuf,
    },
    /// Serves what the gateway forwards to; the benchmark starts it by itself
    #[command(hide = true)]
    Upstream,
    /// Serves one answer; the benchmark starts it by itself
    #[command(hide = true)]
    Bytes {
        #[arg(long, env = "ANSWER_FILE")]
        answer: PathBuf,
    },
    /// Serves round trips to Redis; the benchmark starts it by itself
    #[command(hide = true)]
    RoundTrip {
        #[arg(long, env = "REDIS_URL", hide_env_values = true)]
        redis_url: String,
        /// The public keys of all services
        #[arg(long, env = "INTERNAL_JWKS_FILE")]
        jwks: PathBuf,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("a runtime")?;
    match args.command {
        Some(Command::Reference { database_url, jwks }) => {
            runtime.block_on(reference::serve(&database_url, jwks))
        }
        Some(Command::Upstream) => runtime.block_on(gateway::upstream::serve()),
        Some(Command::Bytes { answer }) => runtime.block_on(browse::bytes::serve(&answer)),
        Some(Command::RoundTrip { redis_url, jwks }) => {
            runtime.block_on(browse::round_trip::serve(redis_url, jwks))
        }
        None => runtime.block_on(run(args)),
    }
}

/// What a part came to: figures, and sentences.
type Measured = (Vec<Figure>, Vec<String>);

async fn run(args: Args) -> Result<()> {
    ensure!((1..=100).contains(&args.runs), "--runs must be from 1 to 100");
    let binaries = match &args.binaries {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?
            .parent()
            .context("this program's folder")?
            .to_owned(),
    };
    let mut report = Report {
        machine: Machine::describe(),
        runs: args.runs,
        figures: Vec::new(),
        notes: Vec::new(),
    };
    let mut add = |(figures, notes): Measured| {
        report.figures.extend(figures);
        report.notes.extend(notes);
    };
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    add(inventory(&args, &binaries).await.context("inventory")?);
    if wants(Part::Checkout) {
        add(checkout(&args, &binaries).await.context("checkout")?);
    }
    if wants(Part::Events) {
        eprintln!("events: from an outbox by a relay and the broker to a consumer's inbox");
        let options = events::Options {
            runs: args.runs,
            quick: args.quick,
        };
        add(events::run(options).await.context("events")?);
    }
    if wants(Part::Gateway) {
        add(gateway(&args, &binaries).await.context("gateway")?);
    }
    add(browse(&args, &binaries).await.context("browse")?);
    if wants(Part::Search) {
        add(search(&args, &binaries).await.context("search")?);
    }
    if wants(Part::Relevance) {
        eprintln!("relevance: judged queries over the sample catalog");
        let measured = relevance::run(binaries, &args.search_engine).await;
        add(measured.context("relevance")?);
    }
    show(&report);
    if let Some(file) = args.json {
        let json = serde_json::to_string_pretty(&report).context("the report")?;
        std::fs::write(&file, json).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn shape(args: &Args, clients: usize) -> Shape {
    let (warm_up_ms, lasts_ms) = if args.quick { (300, 700) } else { (500, 2_000) };
    Shape {
        clients,
        warm_up: Duration::from_millis(warm_up_ms),
        lasts: Duration::from_millis(lasts_ms),
    }
}

async fn inventory(args: &Args, binaries: &Path) -> Result<Measured> {
    let all = args.only.is_empty();
    let parts = inventory::Part::ALL
        .into_iter()
        .filter(|part| all || args.only.iter().any(|only| only.of_inventory().contains(part)));
    let parts: Vec<inventory::Part> = parts.collect();
    if parts.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    eprintln!("inventory: 256 clients, closed loop; a round to get warm comes first");
    inventory::run(inventory::Options {
        runs: args.runs,
        shape: shape(args, 256),
        parts,
        binaries: binaries.to_owned(),
        quick: args.quick,
    })
    .await
}

async fn checkout(args: &Args, binaries: &Path) -> Result<Measured> {
    eprintln!("checkout: from a filled cart to CONFIRMED, through the gateway");
    let checkouts = if args.quick { 200 } else { 600 };
    checkout::run(checkout::Options {
        runs: args.runs,
        clients: 64,
        checkouts: args.checkouts.unwrap_or(checkouts).max(1),
        binaries: binaries.to_owned(),
    })
    .await
}

async fn gateway(args: &Args, binaries: &Path) -> Result<Measured> {
    eprintln!("gateway: 64 clients read a product through it, through nginx, and from the upstream itself");
    gateway::run(gateway::Options {
        runs: args.runs,
        shape: shape(args, 64),
        streams: if args.quick { 200 } else { 2_000 },
        binaries: binaries.to_owned(),
    })
    .await
}

async fn browse(args: &Args, binaries: &Path) -> Result<Measured> {
    let all = args.only.is_empty();
    let parts = [
        (Part::Browse, browse::Part::Detail),
        (Part::Cart, browse::Part::Cart),
        (Part::Zipf, browse::Part::Zipf),
    ];
    let parts = parts
        .into_iter()
        .filter(|(part, _)| all || args.only.contains(part));
    let parts: Vec<browse::Part> = parts.map(|(_, part)| part).collect();
    if parts.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    eprintln!("browse: 64 clients; a round to get warm comes first");
    browse::run(browse::Options {
        runs: args.runs,
        shape: shape(args, 64),
        parts,
        binaries: binaries.to_owned(),
        quick: args.quick,
    })
    .await
}

async fn search(args: &Args, binaries: &Path) -> Result<Measured> {
    eprintln!("search: 32 clients; a round to get warm comes first");
    search::run(search::Options {
        runs: args.runs,
        shape: shape(args, 32),
        binaries: binaries.to_owned(),
        quick: args.quick,
    })
    .await
}

fn show(report: &Report) {
    let Machine {
        cores,
        cpu,
        memory_mib,
        system,
    } = &report.machine;
    println!(
        "{cores} cores ({cpu}), {memory_mib} MiB, {system}; {} runs\n",
        report.runs
    );
    println!("{}", report.table());
    println!("What PostgreSQL's backends were seen at:\n\n{}", report.waits());
    for note in &report.notes {
        println!("- {note}");
    }
}
