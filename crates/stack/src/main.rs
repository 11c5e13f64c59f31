//! `ferrocart-stack`: the platform on this machine, for people.
#![allow(clippy::print_stdout, reason = "a command that people read")]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ferrocart-stack: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli::Cli::parse())) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nferrocart-stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}
