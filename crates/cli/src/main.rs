//! `ferrocart`: for those who operate the platform and read its events.
#![allow(clippy::print_stdout, reason = "a program for people and pipes")]

use std::io::{BufWriter, ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use ferrocart_cli::decode::Decoder;
use ferrocart_cli::read::{Bounds, Kafka, each};
use ferrocart_cli::replay::{Replayer, chosen};
use ferrocart_cli::select::{self, Select};
use ferrocart_cli::{dlq, lag};
use ferrocart_contracts::Topic;
use ferrocart_types::{IdGen as _, SystemIds};
use serde_json::{Value, json};

/// Ferrocart's command line.
#[derive(Parser)]
#[command(name = "ferrocart", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Events: read them, see who is behind, handle dead letters
    Events(Events),
}

#[derive(Args)]
struct Events {
    #[command(flatten)]
    kafka: Kafka,
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Subcommand)]
enum EventsCommand {
    /// Print events, decoded, as JSON lines; ends where the topics end now
    Tail {
        #[command(flatten)]
        select: Select,
        /// Go on with what comes; without --since only with that
        #[arg(long, short)]
        follow: bool,
        /// End after so many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Dead letters: what a consumer group could not apply
    Dlq {
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Have one consumer group read events again; its inbox passes over those that it has applied
    Replay {
        /// Such as `notification`
        #[arg(long)]
        group: String,
        #[command(flatten)]
        select: Select,
        /// Refuse to replay more than so many
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
        /// Also what the group has applied: its effects happen AGAIN, mails are sent twice
        #[arg(long)]
        even_if_applied: bool,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
    /// How many events each consumer group has not applied yet, as JSON lines
    Lag {
        #[arg(long)]
        group: Option<String>,
        /// End with 1 when a group is further behind
        #[arg(long)]
        max: Option<i64>,
    },
}

#[derive(Subcommand)]
enum DlqCommand {
    /// How many there are, by topic and group
    List,
    /// Print them, decoded, with their errors
    Show(Whose),
    /// Have the group read them again; those replayed from the oldest on are then removed
    Replay {
        #[command(flatten)]
        whose: Whose,
        /// Only the one at this offset, as `show` prints it; repeatable
        #[arg(long = "offset")]
        offsets: Vec<i64>,
    },
}

#[derive(Args)]
struct Whose {
    #[arg(value_parser = select::topic)]
    topic: Topic,
    group: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let Command::Events(Events { kafka, command }) = Cli::parse().command;
    match command {
        EventsCommand::Tail {
            select,
            follow,
            limit,
        } => tail(&kafka, &select, follow, limit)?,
        EventsCommand::Dlq { command } => handle_letters(&kafka, command).await?,
        EventsCommand::Replay {
            group,
            select,
            limit,
            even_if_applied,
            dry_run,
        } => {
            for topic in select.topics() {
                // Of all topics those that the group reads are meant; of named ones each must be.
                let mut replayer = match Replayer::new(&kafka, topic, &group) {
                    Ok(replayer) => replayer,
                    Err(_) if select.topics.is_empty() => continue,
                    Err(error) => return Err(error),
                };
                replayer.even_if_applied = even_if_applied;
                let records = chosen(&kafka, topic, &select, limit)?;
                if !dry_run {
                    replayer.put(&records, SystemIds.next()).await?;
                }
                print(&json!({
                    "topic": topic.name(), "group": group, "events": records.len(), "replayed": !dry_run,
                }))?;
            }
        }
        EventsCommand::Lag { group, max } => {
            let lags = lag::lags(&kafka, group.as_deref())?;
            for lag in &lags {
                print(&json!({
                    "group": lag.group, "topic": lag.topic, "behind": lag.behind, "members": lag.members,
                }))?;
            }
            if max.is_some_and(|max| lags.iter().any(|lag| lag.behind > max)) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn handle_letters(kafka: &Kafka, command: DlqCommand) -> Result<()> {
    match command {
        DlqCommand::List => {
            for letters in dlq::list(kafka)? {
                print(&json!({
                    "topic": letters.topic.name(), "group": letters.group, "letters": letters.count,
                }))?;
            }
        }
        DlqCommand::Show(Whose { topic, group }) => {
            let decoder = Decoder::new()?;
            for letter in dlq::letters(kafka, topic, &group)? {
                print(&dlq::json(&decoder, &letter))?;
            }
        }
        DlqCommand::Replay {
            whose: Whose { topic, group },
            offsets,
        } => {
            let done = dlq::replay(kafka, topic, &group, &offsets, SystemIds.next()).await?;
            print(&json!({
                "topic": topic.name(), "group": group, "replayed": done.replayed, "removed": done.removed,
            }))?;
        }
    }
    Ok(())
}

fn tail(kafka: &Kafka, select: &Select, follow: bool, limit: Option<usize>) -> Result<()> {
    let decoder = Decoder::new()?;
    let topics: Vec<String> = select
        .topics()
        .into_iter()
        .map(|topic| kafka.topic(topic))
        .collect();
    let bounds = Bounds {
        since_ms: select.since.map(|since| since.timestamp_millis()),
        follow,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut left = limit;
    if left == Some(0) {
        return Ok(());
    }
    let outcome = each(kafka, &topics, bounds, |record| {
        if !select.likes(&record) {
            return Ok(ControlFlow::Continue(()));
        }
        writeln!(out, "{}", decoder.json(&record))?;
        if follow {
            out.flush()?;
        }
        left = left.map(|left| left.saturating_sub(1));
        Ok(if left == Some(0) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    });
    quiet_when_nobody_reads(outcome.and_then(|()| out.flush().context("writing")))
}

/// `… | head` closes the pipe: an end, not a failure.
fn quiet_when_nobody_reads(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn print(line: &Value) -> Result<()> {
    let written = writeln!(std::io::stdout().lock(), "{line}").context("writing");
    quiet_when_nobody_reads(written)
}
