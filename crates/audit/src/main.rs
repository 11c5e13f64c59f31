//! `ferrocart-audit`: checks the platform's promises and says what is broken.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use ferrocart_audit::{Finding, KafkaTarget, Options, Promise, Provider, Report, Target, Watcher, audit};
use ferrocart_types::SystemClock;
use secrecy::SecretString;

/// Checks the promises I1 to I4 and I6 against every store, the topics and the payment provider's books.
///
/// It only reads. It ends with 0 when every promise holds, with 1 when one is broken, and with 2 when it
/// could not audit.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The folder of a stack that `make run` started, instead of the URLs
    #[arg(long)]
    stack: Option<PathBuf>,
    /// postgres://role:password@host:port/database of a role that may read
    #[arg(
        long,
        env = "INVENTORY_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "stack"
    )]
    inventory_url: Option<SecretString>,
    #[arg(
        long,
        env = "ORDERS_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "stack"
    )]
    orders_url: Option<SecretString>,
    #[arg(
        long,
        env = "PAYMENTS_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "stack"
    )]
    payments_url: Option<SecretString>,
    #[arg(
        long,
        env = "CATALOG_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "stack"
    )]
    catalog_url: Option<SecretString>,
    /// host:port, several separated by commas
    #[arg(long, env = "KAFKA_BROKERS", required_unless_present = "stack")]
    kafka_brokers: Option<String>,
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", default_value = "")]
    kafka_topic_prefix: String,
    /// The payment provider's API; its key is read from PSP_API_KEY alone, where not everybody on the machine
    /// can list it
    #[arg(long, env = "PSP_URL", required_unless_present = "stack")]
    psp_url: Option<String>,
    /// How long something may be unfinished; what changed within it is not compared across stores
    #[arg(long, default_value_t = 30)]
    grace_seconds: u64,
    /// How long a customer may take to act on a payment (payment_action_seconds_max of the order service)
    #[arg(long, default_value_t = 600)]
    action_seconds_max: u64,
    /// Violations that are shown with their histories; all are counted
    #[arg(long, default_value_t = 100)]
    findings_max: usize,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let began = Instant::now();
    let options = Options {
        grace: Duration::from_secs(cli.grace_seconds),
        action_max: Duration::from_secs(cli.action_seconds_max),
        findings_max: cli.findings_max,
    };
    match run(cli, &options).await {
        Ok(report) => {
            show(&report, &options, began.elapsed());
            if report.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("ferrocart-audit: could not audit: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli, options: &Options) -> Result<Report> {
    let target = cli.target()?;
    audit(&target, options, &SystemClock, &mut Screen::new()).await
}

impl Cli {
    fn target(self) -> Result<Target> {
        if let Some(folder) = &self.stack {
            return Target::of_stack(folder);
        }
        // `required_unless_present` has seen to them.
        let given = "an address is missing";
        Ok(Target {
            inventory_url: self.inventory_url.context(given)?,
            orders_url: self.orders_url.context(given)?,
            payments_url: self.payments_url.context(given)?,
            catalog_url: self.catalog_url.context(given)?,
            kafka: KafkaTarget {
                brokers: self.kafka_brokers.context(given)?,
                topic_prefix: self.kafka_topic_prefix,
            },
            provider: Provider {
                url: self.psp_url.context(given)?,
                api_key: api_key()?,
            },
        })
    }
}

fn api_key() -> Result<SecretString> {
    let key = std::env::var_os("PSP_API_KEY").context("PSP_API_KEY is not set")?;
    let key = key.into_string().ok().context("PSP_API_KEY is not text")?;
    Ok(key.into())
}

/// Progress goes to standard error, findings to standard output.
struct Screen {
    began: Instant,
    shown: Instant,
}

/// A long check says how far it is this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

impl Screen {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            shown: Instant::now(),
        }
    }
}

impl Watcher for Screen {
    fn begin(&mut self, what: &str) {
        self.began = Instant::now();
        self.shown = self.began;
        eprintln!("{what:<24} ...");
    }

    fn progress(&mut self, done: u64) {
        if self.shown.elapsed() >= PROGRESS_EVERY {
            self.shown = Instant::now();
            eprintln!("{:<24} {done} so far", "");
        }
    }

    fn end(&mut self, what: &str, done: u64, violations: u64) {
        let took = self.began.elapsed().as_millis();
        eprintln!("{what:<24} {done:>9} read, {violations} violations, {took} ms");
    }

    fn found(&mut self, finding: &Finding) {
        println!("VIOLATION {}", finding.violation);
        for line in &finding.history {
            println!("    {line}");
        }
    }
}

fn show(report: &Report, options: &Options, took: Duration) {
    println!();
    for promise in Promise::ALL {
        let of_promise = report.violations.iter().filter(|((of, _), _)| *of == promise);
        let kinds: Vec<String> = of_promise
            .map(|((_, kind), count)| format!("{count} {kind}"))
            .collect();
        let verdict = if kinds.is_empty() {
            "holds".to_owned()
        } else {
            format!("BROKEN: {}", kinds.join(", "))
        };
        println!("{promise}  {:<44} {verdict}", meaning(promise));
    }
    if report.too_recent > 0 {
        let grace = options.grace.as_secs();
        println!(
            "{} orders, SKUs or products changed within the last {grace} s and were not compared across stores.",
            report.too_recent
        );
    }
    let total = report.violations_total();
    let shown = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    if total > shown {
        println!("{} more violations are not shown.", total - shown);
    }
    println!("{total} violations, {} ms.", took.as_millis());
}

fn meaning(promise: Promise) -> &'static str {
    match promise {
        Promise::NoOversell => "no unit is sold twice, all units are accounted",
        Promise::ChargeAndOrder => "no charge without an order, nor the reverse",
        Promise::OnePayment => "one authorization and one capture an order",
        Promise::Events => "every change is published once, in order",
        Promise::FinalState => "everything comes to an end",
    }
}
