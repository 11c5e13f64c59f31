//! Complete checkouts through the gateway: a guest's filled cart becomes a CONFIRMED order with its units
//! reserved and its payment authorized, all of it durable.

mod buyer;
mod figures;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::{Component, Service, Stack};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::audit::{self, Books};
use crate::checkout::buyer::{Guest, check_out, guest};
pub(crate) use crate::checkout::buyer::{buyer, post};
use crate::meters::Meters;
use crate::probe::{Limits, Probe};
use crate::report::{Figure, grouped};
use crate::stats::{Summary, Tally, Window};

const PRODUCTS: usize = 20;
const UNITS: i64 = 1_000_000;
const SETTLE_DEADLINE: Duration = Duration::from_mins(2);
const SETTLE_POLL: Duration = Duration::from_millis(100);
/// How long the platform is watched doing nothing, to know what it does by itself.
const IDLE: Duration = Duration::from_secs(5);
const SLOW_MS: u64 = 300;

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub clients: usize,
    /// Of one load.
    pub checkouts: usize,
    pub binaries: PathBuf,
}

struct Bench {
    options: Options,
    stack: Stack,
    /// One for each buyer, each from an address of its own, as buyers are.
    buyers: Vec<reqwest::Client>,
    skus: Vec<String>,
    books: Books,
    answered: Vec<Uuid>,
}

#[derive(Debug, Clone)]
struct Sample {
    summary: Summary,
    limits: Limits,
    /// Just before the first checkout.
    before: Meters,
}

/// How buyers arrive.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    /// Each buyer when the one before is served.
    Closed,
    /// So many a second, whatever becomes of the others.
    Open { per_second: u64 },
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let mut bench = Bench::prepare(options).await?;
    let mut fast = Vec::new();
    let mut slow = Vec::new();
    let mut open = Vec::new();
    bench.latency(0).await?;
    let warm_up = bench.options.clients * 2;
    bench
        .load(Arrival::Closed, warm_up)
        .await
        .context("the warm-up")?;
    let idle = bench.idle().await?;
    let mut counts = Vec::new();
    let checkouts = bench.options.checkouts;
    for run in 1..=bench.options.runs {
        bench.latency(0).await?;
        let sample = bench.load(Arrival::Closed, checkouts).await?;
        let after = bench.settled(sample.before.clone()).await?;
        counts.push(after.since(&sample.before).without(&idle));
        let half = (sample.summary.per_second / 2).max(1);
        say(run, "provider 0 ms", &sample.summary);
        fast.push(sample);
        bench.latency(SLOW_MS).await?;
        let sample = bench.load(Arrival::Closed, checkouts).await?;
        say(run, "provider 300 ms", &sample.summary);
        slow.push(sample);
        let sample = bench.load(Arrival::Open { per_second: half }, checkouts).await?;
        say(run, "provider 300 ms, half the rate", &sample.summary);
        open.push(sample);
        bench.audit().await.with_context(|| format!("run {run}"))?;
    }
    let figures = figures::all(bench.options.clients, &fast, &slow, &open);
    let mut notes = crate::meters::describe(&counts, checkouts);
    notes.push(idle.idle_note());
    let others: u64 = [&fast, &slow, &open]
        .into_iter()
        .flatten()
        .map(|sample| sample.summary.total() - sample.summary.answered(201))
        .sum();
    notes.push(format!(
        "checkout: {others} checkouts were answered otherwise than 201 and are in no rate"
    ));
    notes.push(format!(
        "checkout: all {} orders that were answered 201 are CONFIRMED, with one authorization at the provider and \
         one reservation each; nothing else has any",
        bench.answered.len()
    ));
    Ok((figures, notes))
}

fn say(run: usize, what: &str, summary: &Summary) {
    eprintln!(
        "  run {run} {what}: {}/s, p50 {} µs, p95 {} µs, p99 {} µs, answers {:?}",
        grouped(summary.per_second),
        summary.p50_us,
        summary.p95_us,
        summary.p99_us,
        summary.answers
    );
}

impl Bench {
    async fn prepare(options: Options) -> Result<Self> {
        let stack = Stack::builder()
            .binaries(&options.binaries)
            .start()
            .await
            .context("bring the platform up")?;
        stack.create_sample_accounts().await?;
        let books = Books {
            orders: database(&stack, Service::Order).await?,
            payments: database(&stack, Service::Payment).await?,
            inventory: database(&stack, Service::Inventory).await?,
        };
        let buyers = (0..options.clients).map(buyer).collect::<Result<_>>()?;
        let mut bench = Self {
            options,
            stack,
            buyers,
            skus: Vec::new(),
            books,
            answered: Vec::new(),
        };
        bench.stock_up().await?;
        Ok(bench)
    }

    async fn stock_up(&mut self) -> Result<()> {
        let token = self.stack.access_token("merchant").await?;
        let category = json!({ "slug": "bench", "name": "Bench" });
        self.post(&token, "/v1/categories", &category).await?;
        for number in 0..PRODUCTS {
            let product = json!({
                "handle": format!("bench-{number}"), "title": format!("Bench {number}"), "description": "To be bought.",
                "brand": "Bench", "category": "bench", "attributes": {}, "images": [],
                "variants": [{ "sku": format!("bench-{number}"), "options": {},
                               "price": { "amount_minor": 4_200, "currency": "USD" } }],
            });
            let product = self.post(&token, "/v1/products", &product).await?;
            let sku = product["variants"][0]["sku_id"]
                .as_str()
                .context("a product's SKU")?
                .to_owned();
            let stock = json!({ "sku_id": sku, "on_hand": UNITS });
            self.post(&token, "/v1/inventory", &stock).await?;
            self.skus.push(sku);
        }
        Ok(())
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Result<Value> {
        let client = self.buyers.first().context("no buyers")?;
        post(client, &self.stack.url(Service::Gateway), token, path, body).await
    }

    /// Guests with filled carts, made by as many at once as there are buyers.
    async fn guests(&self, count: usize) -> Result<Vec<Guest>> {
        let gateway = self.stack.url(Service::Gateway);
        let makers = self.buyers.iter().enumerate().map(|(number, buyer)| {
            let (gateway, skus) = (gateway.clone(), self.skus.clone());
            let (buyer, step) = (buyer.clone(), self.buyers.len());
            ferrocart_telemetry::spawn("bench-guests", async move {
                let mut guests = Vec::new();
                for index in (number..count).step_by(step) {
                    let sku = skus.get(index % skus.len()).context("no SKUs")?;
                    guests.push(guest(&buyer, &gateway, sku).await?);
                }
                anyhow::Ok(guests)
            })
        });
        let mut guests = Vec::with_capacity(count);
        for maker in makers.collect::<Vec<_>>() {
            guests.extend(maker.await.context("making guests")??);
        }
        Ok(guests)
    }

    /// Prepares, lets everything settle, and measures.
    async fn load(&mut self, arrival: Arrival, checkouts: usize) -> Result<Sample> {
        let guests = Arc::new(self.guests(checkouts).await?);
        self.quiet().await?;
        let before = self.settled(Meters::default()).await?;
        let probe = Probe::start(&self.stack, &[]);
        let window = Window::from_now(Duration::ZERO, Duration::from_mins(10));
        let began = Instant::now();
        let (tally, orders) = match arrival {
            Arrival::Closed => self.closed(&guests, window).await?,
            Arrival::Open { per_second } => self.open(&guests, window, per_second).await?,
        };
        let lasted = began.elapsed();
        let limits = probe.finish().await?;
        let summary = tally.sum_up(201, lasted);
        self.answered.extend(orders);
        self.quiet().await?;
        Ok(Sample {
            summary,
            limits,
            before,
        })
    }

    async fn closed(&self, guests: &Arc<Vec<Guest>>, window: Window) -> Result<(Tally, Vec<Uuid>)> {
        let gateway = self.stack.url(Service::Gateway);
        let next = Arc::new(AtomicUsize::new(0));
        let clients = self.buyers.iter().map(|buyer| {
            let (buyer, gateway) = (buyer.clone(), gateway.clone());
            let (guests, next) = (Arc::clone(guests), Arc::clone(&next));
            ferrocart_telemetry::spawn("bench-buyer", async move {
                let mut tally = Tally::default();
                let mut orders = Vec::new();
                while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let (status, order) = check_out(&buyer, &gateway, guest).await?;
                    tally.record(&window, began, status);
                    orders.extend(order);
                }
                anyhow::Ok((tally, orders))
            })
        });
        gather(clients.collect()).await
    }

    async fn open(
        &self,
        guests: &Arc<Vec<Guest>>,
        window: Window,
        per_second: u64,
    ) -> Result<(Tally, Vec<Uuid>)> {
        let gateway = self.stack.url(Service::Gateway);
        let pause = Duration::from_secs(1) / u32::try_from(per_second).context("a rate")?;
        let start = tokio::time::Instant::now();
        let mut arrivals = Vec::with_capacity(guests.len());
        for (index, guest) in guests.iter().enumerate() {
            let due = start + pause * u32::try_from(index).context("a count")?;
            tokio::time::sleep_until(due).await;
            let buyer = self.buyers.get(index % self.buyers.len()).context("no buyers")?;
            let (buyer, gateway, guest) = (buyer.clone(), gateway.clone(), guest.clone());
            arrivals.push(ferrocart_telemetry::spawn("bench-arrival", async move {
                let mut tally = Tally::default();
                let (status, order) = check_out(&buyer, &gateway, &guest).await?;
                // From when the buyer was due: one that was sent late has waited as well.
                tally.record(&window, due.into_std(), status);
                anyhow::Ok((tally, Vec::from_iter(order)))
            }));
        }
        gather(arrivals).await
    }

    async fn latency(&self, latency_ms: u64) -> Result<()> {
        let env = self.stack.env_for(Service::Payment)?;
        let key = env.get("PSP_API_KEY").context("PSP_API_KEY")?;
        let url = format!("{}/sandbox/faults", self.stack.url(Component::PspSandbox));
        let client = self.buyers.first().context("no buyers")?;
        let answer = client
            .post(url)
            .bearer_auth(key)
            .json(&json!({ "latency_ms": latency_ms }))
            .send()
            .await
            .context("set the provider's latency")?;
        ensure!(answer.status().is_success(), "the provider: {}", answer.status());
        Ok(())
    }

    /// Waits until all sagas are done and all events are published.
    async fn quiet(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let sagas: i64 = count(
                &self.books.orders,
                "SELECT count(*) FROM sagas WHERE state <> 'DONE'",
            )
            .await?;
            let mut waiting = sagas;
            for pool in [&self.books.orders, &self.books.payments, &self.books.inventory] {
                waiting += count(pool, "SELECT COALESCE(sum(event_count), 0)::bigint FROM outbox").await?;
            }
            if waiting == 0 {
                return Ok(());
            }
            ensure!(
                began.elapsed() < SETTLE_DEADLINE,
                "{waiting} sagas and events are left after {SETTLE_DEADLINE:?}"
            );
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }

    /// What the platform does in a second by itself.
    async fn idle(&self) -> Result<Meters> {
        self.quiet().await?;
        let before = self.settled(Meters::default()).await?;
        tokio::time::sleep(IDLE).await;
        Ok(Meters::read(&self.stack).await?.since(&before))
    }

    /// Reads the meters when they stand still: consumers work on after the last answer, and PostgreSQL's
    /// backends report what they did up to a second later.
    async fn settled(&self, mut last: Meters) -> Result<Meters> {
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = Meters::read(&self.stack).await?;
            if now.stands_still(&last) || began.elapsed() > SETTLE_DEADLINE {
                return Ok(now);
            }
            last = now;
        }
    }

    async fn audit(&self) -> Result<()> {
        let env = self.stack.env_for(Service::Payment)?;
        let key = env.get("PSP_API_KEY").context("PSP_API_KEY")?;
        let url = format!("{}/sandbox/ledger", self.stack.url(Component::PspSandbox));
        let client = self.buyers.first().context("no buyers")?;
        let text = client.get(url).bearer_auth(key).send().await?.text().await?;
        let ledger: Vec<Value> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .context("the provider's ledger")?;
        audit::checkouts(&self.books, &ledger, &self.answered).await
    }
}

type Task = tokio::task::JoinHandle<Result<(Tally, Vec<Uuid>)>>;

async fn gather(tasks: Vec<Task>) -> Result<(Tally, Vec<Uuid>)> {
    let mut tally = Tally::default();
    let mut orders = Vec::new();
    for task in tasks {
        let (one, more) = task.await.context("a buyer panicked")??;
        tally.add(one);
        orders.extend(more);
    }
    Ok((tally, orders))
}

async fn count(pool: &PgPool, query: &'static str) -> Result<i64> {
    sqlx::query_scalar(query).fetch_one(pool).await.context(query)
}

async fn database(stack: &Stack, service: Service) -> Result<PgPool> {
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    options
        .connect(&stack.database_url(service)?)
        .await
        .with_context(|| format!("connect to the database of {service}"))
}
