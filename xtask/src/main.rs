//! The project's own chores: `cargo xtask proto`, `cargo xtask openapi` and `cargo xtask arch`.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod arch;
mod openapi;
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
    /// Write docs/openapi.json, the public API of all services
    Openapi {
        /// Change nothing; fail when the committed document is not what the services document
        #[arg(long)]
        check: bool,
        /// Also write docs/openapi-released.json, from which no later document may break away
        #[arg(long, conflicts_with = "check")]
        release: bool,
    },
    /// Fail on a dependency that the architecture forbids
    Arch,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Proto { check } => proto::run(check),
        Command::Openapi { check, release } => openapi::run(check, release),
        Command::Arch => arch::run(),
    }
}
