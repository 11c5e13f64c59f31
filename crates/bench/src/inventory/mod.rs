//! One hot SKU: the inventory service against the naive design, bare actix-web and bare inserts, in turns
//! on one database.

mod figures;
mod inserts;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::{AuthSettings, Role, TokenIssuer, UserIdentity};
use ferrocart_stack::{Component, Components, Service, Stack};
use ferrocart_types::{IdGen as _, SystemClock, SystemIds, UserId};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::audit::{self, Told};
use crate::child::{self, ReferenceServer};
use crate::load::{self, HttpLoad, Shape};
use crate::naive::{self, Outcome};
use crate::probe::{Limits, Probe};
use crate::report::{Figure, grouped};
use crate::stats::{Summary, per_second};
use crate::wire::Template;

/// Enough for every load.
const UNITS: i64 = 1_000_000_000;
/// The sell-out: so many requests for so few units.
const SELL_OUT_UNITS: i64 = 500;
const SELL_OUT_REQUESTS: u64 = 50_000;
/// How long the events of one load may take to be published.
const DRAIN_DEADLINE: Duration = Duration::from_mins(5);
const DRAIN_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub shape: Shape,
    /// Of the services, and of the core's load.
    pub binaries: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Contestant {
    Echo,
    Http,
    NaiveHttp,
    Core,
    Naive,
    Inserts,
    SellOut,
    HttpAlone,
    NaiveHttpAlone,
}

impl Contestant {
    const ALL: [Self; 9] = [
        Self::Echo,
        Self::Http,
        Self::NaiveHttp,
        Self::Core,
        Self::Naive,
        Self::Inserts,
        Self::SellOut,
        Self::HttpAlone,
        Self::NaiveHttpAlone,
    ];
}

#[derive(Debug, Clone)]
struct Sample {
    summary: Summary,
    limits: Limits,
}

/// What the loads run on.
struct Bench {
    options: Options,
    stack: Stack,
    pool: PgPool,
    naive_pool: PgPool,
    reference: ReferenceServer,
    services: TokenIssuer,
    gateway: TokenIssuer,
    http: reqwest::Client,
    samples: BTreeMap<Contestant, Vec<Sample>>,
    /// Events published a second while nothing else went on.
    drained: Vec<u64>,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let mut bench = Bench::prepare(options).await?;
    // A round that does not count: connections, plans, caches and the broker's virtual machine get warm.
    for contestant in Contestant::ALL {
        let sample = bench.turn(contestant).await;
        sample.with_context(|| format!("the warm-up, {contestant:?}"))?;
    }
    bench.drained.clear();
    for run in 1..=bench.options.runs {
        for contestant in Contestant::ALL {
            let sample = bench.turn(contestant).await;
            let sample = sample.with_context(|| format!("run {run}, {contestant:?}"))?;
            eprintln!(
                "  run {run} {contestant:?}: {}/s, p50 {} µs, p99 {} µs",
                grouped(sample.summary.per_second),
                sample.summary.p50_us,
                sample.summary.p99_us
            );
            bench.samples.entry(contestant).or_default().push(sample);
        }
    }
    let skus = audit::reservations(&bench.pool).await?;
    let figures = bench.figures();
    let notes = vec![format!(
        "inventory: after all loads the reservations of all {skus} SKUs add up to their counters"
    )];
    bench.reference.stop().await?;
    Ok((figures, notes))
}

impl Bench {
    async fn prepare(options: Options) -> Result<Self> {
        let mut components = Component::STORES.to_vec();
        components.push(Service::Inventory.into());
        let stack = Stack::builder()
            .components(Components::Of(components))
            .binaries(&options.binaries)
            .start()
            .await
            .context("bring the inventory service up")?;
        let database_url = stack.database_url(Service::Inventory)?;
        let program = std::env::current_exe().context("this program's file")?;
        Ok(Self {
            pool: PgPool::connect(&database_url)
                .await
                .context("connect to the inventory's database")?,
            naive_pool: naive::pool(&database_url)?,
            reference: ReferenceServer::start(&program, &database_url).await?,
            services: issuer(&stack, Service::Order, "order")?,
            gateway: issuer(&stack, Service::Gateway, "gateway")?,
            http: reqwest::Client::new(),
            samples: BTreeMap::new(),
            drained: Vec::new(),
            options,
            stack,
        })
    }

    /// One load: on a SKU of its own, when the events of the one before are published; then the audit.
    async fn turn(&mut self, contestant: Contestant) -> Result<Sample> {
        self.drain().await?;
        let units = if contestant == Contestant::SellOut {
            SELL_OUT_UNITS
        } else {
            UNITS
        };
        let sku = self.stock(units).await?;
        let reference = self.reference.pid().map(|pid| ("reference", pid));
        let others: Vec<(&str, u32)> = reference.into_iter().collect();
        let probe = Probe::start(&self.stack, &others);
        let summary = self.load(contestant, sku).await?;
        let limits = probe.finish().await?;
        self.check(contestant, sku, units, &summary).await?;
        Ok(Sample { summary, limits })
    }

    async fn load(&self, contestant: Contestant, sku: Uuid) -> Result<Summary> {
        let shape = self.options.shape;
        match contestant {
            Contestant::Echo => self.over_http(shape, "/echo", sku).await,
            Contestant::Http => self.over_http(shape, "/v1/inventory/reserve", sku).await,
            Contestant::NaiveHttp => self.over_http(shape, "/naive", sku).await,
            Contestant::Core => {
                let program = self.options.binaries.join("examples/inventory_core");
                child::run_core(
                    &program,
                    &self.stack.database_url(Service::Inventory)?,
                    sku,
                    shape,
                )
                .await
            }
            Contestant::Naive => {
                let pool = self.naive_pool.clone();
                load::in_process(shape, move |order| {
                    let pool = pool.clone();
                    async move {
                        match naive::reserve(&pool, order, sku, 1).await {
                            Ok(Outcome::Granted) => 201,
                            Ok(_) => 409,
                            Err(_) => 503,
                        }
                    }
                })
                .await
            }
            Contestant::Inserts => inserts::run(&self.pool, shape).await,
            Contestant::SellOut => self.sell_out(shape, sku).await,
            Contestant::HttpAlone => self.over_http(alone(shape), "/v1/inventory/reserve", sku).await,
            Contestant::NaiveHttpAlone => self.over_http(alone(shape), "/naive", sku).await,
        }
    }

    async fn over_http(&self, shape: Shape, path: &str, sku: Uuid) -> Result<Summary> {
        let driven = self.http_load(shape, path, sku)?.drive().await?;
        Ok(driven.summary)
    }

    fn http_load(&self, shape: Shape, path: &str, sku: Uuid) -> Result<HttpLoad> {
        let token = self
            .services
            .service_token("inventory")
            .context("sign a service token")?;
        let target = if path.starts_with("/v1/") {
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.stack.port(Service::Inventory)))
        } else {
            self.reference.address
        };
        let after = format!(r#"","items":[{{"sku_id":"{sku}","quantity":1}}]"#);
        // An hour, so that nothing expires during the benchmark; the references take no such field.
        let after = if path.starts_with("/v1/") {
            format!(r#"{after},"hold_seconds":3600}}"#)
        } else {
            format!("{after}}}")
        };
        Ok(HttpLoad {
            shape,
            target,
            template: Template::post(path, &token, r#"{"order_id":""#, &after),
            wanted: 201,
            requests_max: u64::MAX,
        })
    }

    /// Counts refusals from the first request on: what comes before the SKU is sold out is part of it.
    async fn sell_out(&self, shape: Shape, sku: Uuid) -> Result<Summary> {
        let shape = Shape {
            warm_up: Duration::ZERO,
            lasts: Duration::from_mins(2),
            ..shape
        };
        let load = HttpLoad {
            wanted: 409,
            requests_max: SELL_OUT_REQUESTS,
            ..self.http_load(shape, "/v1/inventory/reserve", sku)?
        };
        let summary = load.drive().await?.summary;
        let (granted, refused) = (summary.answered(201), summary.answered(409));
        ensure!(
            i64::try_from(granted) == Ok(SELL_OUT_UNITS) && granted + refused == SELL_OUT_REQUESTS,
            "{granted} of {SELL_OUT_UNITS} units were granted and {refused} of {SELL_OUT_REQUESTS} requests refused"
        );
        Ok(summary)
    }

    async fn check(&self, contestant: Contestant, sku: Uuid, units: i64, summary: &Summary) -> Result<()> {
        let touches_stock = !matches!(contestant, Contestant::Echo | Contestant::Inserts);
        let granted = if touches_stock { summary.answered(201) } else { 0 };
        let expected = summary.answered(201) + summary.answered(409);
        let unknown = summary.total().saturating_sub(expected);
        ensure!(
            unknown == 0,
            "{unknown} requests got another answer than 201 or 409: {:?}",
            summary.answers
        );
        let told = Told {
            units,
            granted,
            unknown,
        };
        audit::stock(&self.pool, sku, told).await
    }

    async fn stock(&self, units: i64) -> Result<Uuid> {
        let sku = SystemIds.next();
        let admin = UserIdentity {
            user_id: UserId(SystemIds.next()),
            roles: vec![Role::Admin],
            email: None,
            guest_session: None,
        };
        let token = self
            .gateway
            .user_token("inventory", &admin)
            .context("sign a token")?;
        let answer = self
            .http
            .post(format!("{}/v1/inventory", self.stack.url(Service::Inventory)))
            .bearer_auth(token)
            .header("idempotency-key", sku.to_string())
            .json(&json!({ "sku_id": sku, "on_hand": units }))
            .send()
            .await
            .context("set the stock")?;
        ensure!(
            answer.status().as_u16() == 201,
            "the stock: {}",
            answer.text().await?
        );
        Ok(sku)
    }

    /// Waits until everything is published, so that no load works off what another has left.
    async fn drain(&mut self) -> Result<()> {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
            .fetch_one(&self.pool)
            .await
            .context("count the outbox")?;
        let began = Instant::now();
        loop {
            let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox)")
                .fetch_one(&self.pool)
                .await
                .context("look at the outbox")?;
            if !left {
                break;
            }
            ensure!(
                began.elapsed() < DRAIN_DEADLINE,
                "the outbox is not published within {DRAIN_DEADLINE:?}"
            );
            tokio::time::sleep(DRAIN_POLL).await;
        }
        let waiting = u64::try_from(waiting).unwrap_or(0);
        // Fewer say more about the polling than about the relay.
        if waiting > 10_000 {
            self.drained.push(per_second(waiting, began.elapsed()));
        }
        Ok(())
    }
}

fn alone(shape: Shape) -> Shape {
    Shape { clients: 1, ..shape }
}

fn issuer(stack: &Stack, service: Service, name: &'static str) -> Result<TokenIssuer> {
    let mut env = stack.env_for(service)?;
    let mut file = |key: &str| env.remove(key).map(PathBuf::from).context("a key's file");
    let settings = AuthSettings {
        internal_signing_key_file: file("INTERNAL_SIGNING_KEY_FILE")?,
        internal_jwks_file: file("INTERNAL_JWKS_FILE")?,
    };
    TokenIssuer::load(name, &settings, Arc::new(SystemClock))
}
