//! `ferrocart-abuse`: attacks a platform of its own, and says what was held off.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ferrocart_abuse::{Extent, Report, run};
use ferrocart_stack::Stack;

/// Attacks a private platform through its gateway: forged tokens, other people's ids, fields and prices that are not
/// the client's, injections, oversized and packed bodies, slow clients, guessed passwords; and looks through all logs
/// for what was told in confidence.
///
/// It ends with 0 when all was held off, with 1 otherwise, and with 2 when it could not be tried.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Without the slow and heavy attacks
    #[arg(long)]
    fast: bool,
    /// The folder of the services' binaries; without it the one of this program
    #[arg(long)]
    binaries: Option<PathBuf>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match attack(Cli::parse()).await {
        Ok(report) => {
            println!("\n{report}");
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            eprintln!("ferrocart-abuse: could not be tried: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn attack(cli: Cli) -> Result<Report> {
    let mut builder = Stack::builder();
    if let Some(folder) = cli.binaries {
        builder = builder.binaries(folder);
    }
    println!("starting a platform");
    let stack = builder.start().await?;
    stack.create_sample_accounts().await?;
    let extent = if cli.fast { Extent::Fast } else { Extent::All };
    run(&stack, extent, |step| println!("{step}")).await
}
