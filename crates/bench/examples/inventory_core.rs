//! The inventory service's core without HTTP around it: its batcher on the database, driven in process.
//! `ferrocart-bench` runs it as one of its contestants; it prints what its load came to as JSON.
#![allow(clippy::print_stdout, reason = "the result goes to the parent process")]

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use ferrocart_bench::load::{Shape, Skus, in_process};
use ferrocart_http_kit::Background;
use ferrocart_inventory::BatcherSettings;
use ferrocart_inventory::admission::Admission;
use ferrocart_inventory::app::{Actor, Waiters};
use ferrocart_inventory::batcher::{Batcher, Reserve, Tools};
use ferrocart_inventory::domain::{Ask, Lines, Verdict};
use ferrocart_kafka_kit::RelayHandle;
use ferrocart_types::{Clock as _, IdGen as _, OrderId, Quantity, SkuId, SystemClock, SystemIds};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Parser)]
struct Args {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long)]
    sku: Uuid,
    /// How many SKUs, whose ids follow the first
    #[arg(long, default_value_t = 1)]
    skus: u32,
    #[arg(long)]
    clients: usize,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    lasts_ms: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = PgConnectOptions::from_str(&args.database_url).context("DATABASE_URL")?;
    let tools = Tools {
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        relay: RelayHandle::default(),
        admission: Admission::off(),
        waiters: Waiters::default(),
        reservations: ferrocart_inventory::cache::ReservationCache::off(),
        stock_low_threshold: 5,
    };
    // The service's defaults.
    let settings = BatcherSettings {
        lanes: 2,
        batch_max: 512,
        lane_queue_max: 8192,
        answer_timeout_ms: 5000,
    };
    let stop = CancellationToken::new();
    let mut background = Background::new();
    let batcher = Batcher::start(&settings, &options, &tools, &mut background, &stop);
    let background = ferrocart_telemetry::spawn("lanes", background.run(stop.clone()));

    let quantity = Quantity::new(1).context("a quantity")?;
    let skus = Skus::starting_at(args.sku, args.skus);
    let lines = move |order| Lines::sum_up(&[(SkuId(skus.of_order(order)), quantity)]);
    lines(SystemIds.next()).context("lines")?;
    let shape = Shape {
        clients: args.clients,
        warm_up: Duration::from_millis(args.warm_up_ms),
        lasts: Duration::from_millis(args.lasts_ms),
    };
    // One is kept here: lanes that nobody can ask any more end, which they must not before they are told to.
    let shared = batcher.clone();
    let summary = in_process(shape, move |order| {
        let batcher = shared.clone();
        let lines = lines(order);
        async move {
            let Ok(lines) = lines else { return 400 };
            let request = Reserve {
                ask: Ask {
                    buyer: None,
                    order_id: OrderId(order),
                    lines,
                    expires_at: SystemClock.now() + chrono::TimeDelta::hours(1),
                },
                actor: Actor {
                    name: "service:order".to_owned(),
                    traceparent: None,
                },
            };
            match batcher.reserve(request).await {
                Ok(Verdict::Granted(_) | Verdict::Existing(_)) => 201,
                Ok(Verdict::Refused(_)) => 409,
                Err(_) => 503,
            }
        }
    })
    .await?;
    stop.cancel();
    drop(batcher);
    background.await.context("the lanes panicked")??;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}
