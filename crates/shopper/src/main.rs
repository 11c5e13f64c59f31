//! Shops through the gateway and shows what came back.

use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use ferrocart_shopper::{
    Accounts, Failure, Options, QUERY_DEFAULT, Report, STEP_TIMEOUT_DEFAULT, Screen, Silent, run,
};
use serde_json::json;

#[derive(Parser)]
#[command(
    about = "Buys from a running shop as an outside client would, and checks every answer",
    version
)]
struct Cli {
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    gateway_url: String,
    /// The payment provider's API, which the buyer's browser speaks to.
    #[arg(long, default_value = "http://127.0.0.1:8090")]
    provider_url: String,
    /// The sample accounts: [{"role": "merchant", "email": "…", "password": "…"}, …]
    #[arg(long)]
    accounts: PathBuf,
    /// Where the notification service leaves its e-mails.
    #[arg(long)]
    mail_dir: PathBuf,
    /// Print one JSON report instead of the screen.
    #[arg(long)]
    json: bool,
    /// Show every call below its step.
    #[arg(long, short)]
    verbose: bool,
    /// The longest that one request or one wait may take.
    #[arg(long, default_value_t = STEP_TIMEOUT_DEFAULT.as_secs())]
    step_timeout_seconds: u64,
    #[arg(long, default_value = QUERY_DEFAULT)]
    query: String,
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Any value turns colours off (https://no-color.org).
    #[arg(long, env = "NO_COLOR", hide = true)]
    no_color: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let options = Options {
        gateway_url: cli.gateway_url.clone(),
        provider_url: cli.provider_url.clone(),
        accounts: Accounts::read(&cli.accounts)?,
        mail_dir: cli.mail_dir.clone(),
        step_timeout: Duration::from_secs(cli.step_timeout_seconds),
        query: cli.query.clone(),
    };
    let ended_well = if cli.json {
        as_json(&options).await?
    } else {
        as_screen(&cli, &options).await?
    };
    Ok(if ended_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn as_screen(cli: &Cli, options: &Options) -> anyhow::Result<bool> {
    let no_color = cli.no_color.as_ref().is_some_and(|value| !value.is_empty());
    let colours = match cli.color {
        Colour::Auto => stdout().is_terminal() && !no_color,
        Colour::Always => true,
        Colour::Never => false,
    };
    let mut screen = Screen::new(stdout(), colours, cli.verbose);
    let result = run(options, &mut screen).await;
    if let Ok(report) = &result {
        screen.summary(report);
    }
    screen.finish().context("write to standard output")?;
    Ok(result.is_ok())
}

async fn as_json(options: &Options) -> anyhow::Result<bool> {
    let result = run(options, &mut Silent).await;
    let text = serde_json::to_string_pretty(&match &result {
        Ok(report) => document(report, None),
        Err(failure) => document(&failure.report, Some(failure)),
    })
    .context("serialize the report")?;
    writeln!(stdout(), "{text}").context("write to standard output")?;
    Ok(result.is_ok())
}

fn document(report: &Report, failure: Option<&Failure>) -> serde_json::Value {
    let failure = failure.map(|failure| json!({"step": failure.step, "unmet": failure.unmet.to_string()}));
    json!({"ok": failure.is_none(), "failure": failure, "report": report})
}
