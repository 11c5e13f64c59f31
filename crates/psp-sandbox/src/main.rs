//! `ferrocart-psp-sandbox`: the payment provider's sandbox as a process.
#![allow(
    clippy::print_stdout,
    reason = "the line that says where it listens is for people and scripts"
)]

use anyhow::Context as _;
use clap::Parser;
use ferrocart_psp_sandbox::{Options, Sandbox, WebhookOptions};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A payment provider for development and tests: Stripe's API with a durable ledger of its own.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// 0 takes any free port
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Where the ledger is kept
    #[arg(long, env = "PSP_DATA_DIR")]
    data_dir: PathBuf,
    #[arg(long, env = "PSP_API_KEY", hide_env_values = true)]
    api_key: String,
    /// What browsers send; no secret
    #[arg(long, env = "PSP_PUBLISHABLE_KEY", default_value = ferrocart_psp_sandbox::PUBLISHABLE_KEY)]
    publishable_key: String,
    /// Where events are delivered; nowhere if not given
    #[arg(long, env = "PSP_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Signs the events
    #[arg(long, env = "PSP_WEBHOOK_SECRET", hide_env_values = true, default_value = "")]
    webhook_secret: String,
    /// Every answer waits this long
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Where a browser reaches the sandbox, for the 3-D Secure page
    #[arg(long, env = "PSP_PUBLIC_URL")]
    public_url: Option<String>,
    /// How long an authorization holds
    #[arg(long, default_value_t = 7 * 24 * 60 * 60)]
    hold_seconds: i64,
    /// The ledger refuses to grow beyond this
    #[arg(long, default_value_t = 16 * 1024)]
    journal_mib_max: u64,
    /// Plays a slower disk: waited before every write of the ledger
    #[arg(long, default_value_t = 0)]
    disk_latency_ms: u64,
    /// Threads that serve requests
    #[arg(long, default_value_t = 1)]
    workers: usize,
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_new(&args.log_level).context("--log-level")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let secret = args.webhook_secret;
    let url = args.webhook_url.filter(|url| !url.is_empty());
    let running = Sandbox::start(Options {
        host: args.host,
        port: args.port,
        webhook: url.map(|url| WebhookOptions { url, secret }),
        publishable_key: args.publishable_key,
        latency_ms: args.latency_ms,
        public_url: args.public_url,
        hold_seconds: args.hold_seconds,
        journal_bytes_max: args.journal_mib_max.saturating_mul(1024 * 1024),
        disk_latency: Duration::from_millis(args.disk_latency_ms),
        workers: args.workers,
        ..Options::new(args.data_dir, args.api_key)
    })
    .await?;
    println!("psp-sandbox listening on {}", running.base_url);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}
