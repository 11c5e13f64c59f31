//! The platform under test, and what the chaos needs of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use ferrocart_stack::{Component, Service, Stack};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

use crate::buyer::Staff;
use crate::client::{Client, Request, fresh_key};
use crate::control::Control;
use crate::run::Options;

/// Enough of each product for every case and storm.
const UNITS: i64 = 1_000_000;
const PRODUCTS: usize = 10;
const WATCH_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Platform {
    pub(crate) stack: Arc<Stack>,
    pub(crate) client: Client,
    pub(crate) control: Control,
    pub(crate) skus: Vec<String>,
    pub(crate) orders: PgPool,
    pub(crate) payments: PgPool,
    pub(crate) inventory: PgPool,
}

impl Platform {
    /// Failpoints of `env` are set in every service from its start on.
    pub(crate) async fn start(options: &Options, failpoints: Option<&str>) -> Result<Self> {
        // From the system's randomness, not from the seed: it is a secret.
        let token = format!("{:032x}", rand::rng().random::<u128>());
        let mut builder = Stack::builder();
        if let Some(binaries) = &options.binaries {
            builder = builder.binaries(binaries);
        }
        if let Some(folder) = &options.folder {
            builder = builder.folder(folder);
        }
        for service in Service::ALL {
            builder = builder.env(service, "FAILPOINTS_TOKEN", token.clone());
            builder = builder.env(service, "FAILPOINTS_SEED", options.seed.to_string());
            if let Some(plans) = failpoints {
                builder = builder.env(service, "FAILPOINTS", plans);
            }
        }
        for (service, name, value) in options.timing.settings() {
            builder = builder.env(service, name, value);
        }
        let stack = builder.start().await.context("bring the platform up")?;
        stack.create_sample_accounts().await?;
        let client = Client::new(stack.url(Service::Gateway))?;
        let mut platform = Self {
            control: Control::new(client.http().clone(), token),
            orders: database(&stack, Service::Order).await?,
            payments: database(&stack, Service::Payment).await?,
            inventory: database(&stack, Service::Inventory).await?,
            stack: Arc::new(stack),
            client,
            skus: Vec::new(),
        };
        platform.stock_up().await?;
        Ok(platform)
    }

    async fn stock_up(&mut self) -> Result<()> {
        let token = self.stack.access_token("merchant").await?;
        let handle = format!("chaos-{}", fresh_key());
        let post = |path: &'static str, body| Request::post(path, &token, body);
        let category = json!({ "slug": handle, "name": "Chaos" });
        self.client.succeed(&post("/v1/categories", category)).await?;
        for number in 0..PRODUCTS {
            let handle = format!("{handle}-{number}");
            let product = json!({
                "handle": handle, "title": format!("Chaos {number}"), "description": "To be bought.",
                "brand": "Chaos", "category": handle.rsplit_once('-').map(|(category, _)| category), "attributes": {},
                "images": [], "variants": [{ "sku": handle, "options": {},
                                             "price": { "amount_minor": 4_200, "currency": "USD" } }],
            });
            let product = self.client.succeed(&post("/v1/products", product)).await?;
            let sku = product.json["variants"][0]["sku_id"]
                .as_str()
                .context("a product's SKU")?
                .to_owned();
            let stock = json!({ "sku_id": sku, "on_hand": UNITS });
            self.client.succeed(&post("/v1/inventory", stock)).await?;
            self.skus.push(sku);
        }
        Ok(())
    }

    pub(crate) fn a_sku(&self, chance: &mut ChaCha8Rng) -> &str {
        &self.skus[chance.random_range(0..self.skus.len())]
    }

    /// With fresh tokens: a run lasts longer than they do.
    pub(crate) async fn staff(&self) -> Result<Staff> {
        Ok(Staff {
            client: self.client.clone(),
            warehouse: self.stack.access_token("warehouse").await?,
            support: self.stack.access_token("support").await?,
        })
    }

    /// Makes the provider lose the answer of every n-th POST after it did what it was asked; 0 for none.
    pub(crate) async fn lose_answers(&self, every: u32) -> Result<()> {
        let env = self.stack.env_for(Service::Payment)?;
        let key = env.get("PSP_API_KEY").context("PSP_API_KEY")?;
        let url = format!("{}/sandbox/faults", self.stack.url(Component::PspSandbox));
        self.client
            .http()
            .post(url)
            .bearer_auth(key)
            .json(&json!({ "drop_every": every }))
            .send()
            .await
            .context("set the provider's faults")?
            .error_for_status()?;
        Ok(())
    }
}

async fn database(stack: &Stack, service: Service) -> Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(2)
        .connect(&stack.database_url(service)?)
        .await
        .with_context(|| format!("connect to the database of {service}"))
}

/// Starts again what has died, until it is dropped.
pub(crate) struct Nurse {
    deaths: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Nurse {
    pub(crate) fn watch(stack: &Arc<Stack>) -> Self {
        let deaths = Arc::new(AtomicU64::new(0));
        let (stack, counted) = (Arc::clone(stack), Arc::clone(&deaths));
        let watching = ferrocart_telemetry::spawn("chaos-nurse", async move {
            loop {
                for service in Service::ALL {
                    if stack.process(service).is_running() {
                        continue;
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                    // One that does not come up is tried again; if it never does, nothing becomes final.
                    if let Err(error) = stack.process(service).start().await {
                        let text = format!("{error:#}");
                        eprintln!(
                            "    {service} is tried again: {}",
                            text.lines().last().unwrap_or_default()
                        );
                    }
                }
                tokio::time::sleep(WATCH_EVERY).await;
            }
        });
        Self { deaths, watching }
    }

    /// How many processes have died under this one's eyes.
    pub(crate) fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::SeqCst)
    }
}

impl Drop for Nurse {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
