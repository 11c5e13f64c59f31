//! `test-env`: a command with stores of its own.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use ferrocart_stack::{Components, Stack};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::{Binaries, Engines, report};

#[derive(Args)]
pub(crate) struct TestEnv {
    #[command(flatten)]
    binaries: Binaries,
    #[command(flatten)]
    engines: Engines,
    /// Close with the sum of the `test result:` lines that the command prints
    #[arg(long)]
    sum_tests: bool,
    /// The command, which finds the stores by `FERROCART_TEST_*` variables
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) async fn test_env(options: TestEnv) -> Result<ExitCode> {
    let (program, args) = options.command.split_first().context("no command was given")?;
    let bin_dir = options.binaries.folder()?;
    let progress = report::reporter();
    progress.note("stores for the tests");
    let stack = Stack::builder()
        .components(Components::Stores)
        .external(options.engines.external())
        .binaries(&bin_dir)
        .progress(Arc::clone(&progress))
        .start()
        .await?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env("FERROCART_TEST_POSTGRES_ADMIN_URL", stack.postgres_admin_url())
        .env("FERROCART_TEST_REDIS_URL", stack.redis_url())
        .env("FERROCART_TEST_REDIS_CART_URL", stack.redis_cart_url())
        .env("FERROCART_TEST_KAFKA_BROKERS", stack.kafka_brokers())
        .env("FERROCART_TEST_BIN_DIR", &bin_dir)
        .stdin(Stdio::null());
    // Read as an existing engine's address by whatever starts a stack below.
    for name in [
        "POSTGRES_ADMIN_URL",
        "REDIS_URL",
        "REDIS_CART_URL",
        "KAFKA_BROKERS",
    ] {
        command.env_remove(name);
    }
    if options.sum_tests {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| format!("run {program}"))?;
    let output = child.stdout.take();
    let (status, totals) = tokio::try_join!(wait(&mut child), pass_on(output))?;
    drop(stack);
    if options.sum_tests {
        println!(
            "{} passed, {} failed, {} skipped",
            totals.passed, totals.failed, totals.skipped
        );
    }
    Ok(exit_code(status))
}

/// Waits for the command's end. What asks us to end is passed on to it: the stores go when it has gone.
async fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    loop {
        let received = tokio::select! {
            status = child.wait() => return status.context("wait for the command"),
            // The terminal sends it to the command as well.
            _ = interrupt.recv() => continue,
            _ = terminate.recv() => Signal::SIGTERM,
            _ = hang_up.recv() => Signal::SIGHUP,
        };
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself in this moment.
            kill(Pid::from_raw(pid), received).ok();
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Totals {
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s`
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            let Some((count, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(count) = count.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" | "filtered out" => self.skipped += count,
                _ => {}
            }
        }
    }
}

async fn pass_on(output: Option<impl AsyncRead + Unpin>) -> Result<Totals> {
    let mut totals = Totals::default();
    let Some(output) = output else { return Ok(totals) };
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .await
        .context("read what the command prints")?
        > 0
    {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(&line)
            .and_then(|()| stdout.flush())
            .context("write to standard output")?;
        drop(stdout);
        totals.add(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(totals)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_several_binaries_are_added_up() {
        let mut totals = Totals::default();
        totals.add("running 3 tests");
        totals.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        );
        totals.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s");
        assert_eq!(
            totals,
            Totals {
                passed: 14,
                failed: 3,
                skipped: 5
            }
        );
    }
}
