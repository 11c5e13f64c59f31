//! The project's own chores: `cargo xtask proto` and `cargo xtask arch`.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod arch;
mod proto;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Chores of the Ferrocart workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate crates/contracts/src/gen from proto/
    Proto {
        /// Change nothing; fail when the committed code differs from what proto/ gives
        #[arg(long)]
        check: bool,
    },
    /// Fail on a dependency that the architecture forbids
    Arch,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Proto { check } => proto::run(check),
        Command::Arch => arch::run(),
    }
}
