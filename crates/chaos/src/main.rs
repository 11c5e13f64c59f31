//! `ferrocart-chaos`: breaks every step, and says whether the promises held.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use ferrocart_chaos::{Events, Options, Report, Role, RoleOptions, Selection, Storm, Timing, run};

/// Breaks every step of a checkout in every way on a private platform, and audits what is left.
///
/// It ends with 0 when every promise held and every failpoint fired, with 1 otherwise, and with 2 when it
/// could not be tried.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Everything that is left to chance follows from it; printed, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
    /// One case of each service and kind of fault
    #[arg(long, conflicts_with_all = ["only", "storm"])]
    quick: bool,
    /// The cases whose name contains this, such as `order.authorize`, `payment: `, `kill -9`
    #[arg(long, conflicts_with = "storm")]
    only: Option<String>,
    /// Many checkouts with random kills, lost answers of the provider and redelivered events
    #[arg(long)]
    storm: bool,
    /// How many checkouts a storm has
    #[arg(long, default_value_t = 10_000)]
    checkouts: usize,
    /// How many buyers check out at once in a storm
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// So many events from an outbox to an inbox while broker, relays and consumers are killed
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "100000",
          conflicts_with_all = ["quick", "only", "storm"])]
    events: Option<u64>,
    /// How many of them are killed meanwhile
    #[arg(long, default_value_t = 24)]
    kills: usize,
    /// The deadlines and leases as they are shipped, instead of shorter ones: takes several times as long
    #[arg(long)]
    as_shipped: bool,
    /// The folder of the services' binaries, built with failpoints; without it the one of this program
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Where the platform's data and logs stay
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Relays an outbox until it is killed; `--events` starts it by itself
    #[command(hide = true)]
    Relay(RoleOptions),
    /// Applies events until it is killed; `--events` starts it by itself
    #[command(hide = true)]
    Consumer(RoleOptions),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut cli = Cli::parse();
    let played = match cli.role.take() {
        Some(Command::Relay(options)) => Role::Relay.play(options).await,
        Some(Command::Consumer(options)) => Role::Consumer.play(options).await,
        None => return try_it(cli).await,
    };
    if let Err(error) = played {
        eprintln!("ferrocart-chaos: {error:#}");
    }
    ExitCode::from(2)
}

async fn try_it(cli: Cli) -> ExitCode {
    let seed = cli.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let began = Instant::now();
    match break_it(cli, seed).await {
        Ok(report) => {
            println!("\n{report}, seed {seed}, {} s", began.elapsed().as_secs());
            if report.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("ferrocart-chaos: could not be tried: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn break_it(cli: Cli, seed: u64) -> anyhow::Result<Report> {
    let say = |line: &str| println!("{line}");
    if let Some(events) = cli.events {
        let events = Events {
            events,
            kills: cli.kills,
            seed,
            program: std::env::current_exe()?,
            folder: cli.folder,
        };
        return events.run(say).await;
    }
    let storm = Storm {
        checkouts: cli.checkouts,
        clients: cli.clients,
    };
    let selection = match (cli.quick, cli.only, cli.storm) {
        (true, _, _) => Selection::Few,
        (_, Some(part), _) => Selection::Only(part),
        (_, _, true) => Selection::Storm(storm),
        _ => Selection::All,
    };
    let options = Options {
        seed,
        selection,
        timing: if cli.as_shipped {
            Timing::AsShipped
        } else {
            Timing::Short
        },
        binaries: cli.binaries,
        folder: cli.folder,
    };
    run(&options, say).await
}
