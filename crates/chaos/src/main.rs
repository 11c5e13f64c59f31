//! `ferrocart-chaos`: breaks every step, and says whether the promises held.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use ferrocart_chaos::{Options, Selection, Storm, Timing, run};

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
    /// The deadlines and leases as they are shipped, instead of shorter ones: takes several times as long
    #[arg(long)]
    as_shipped: bool,
    /// The folder of the services' binaries, built with failpoints; without it the one of this program
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Where the platform's data and logs stay
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
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
    let began = Instant::now();
    match run(&options, |line| println!("{line}")).await {
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
