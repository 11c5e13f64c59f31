//! What a shop does most: product pages and carts, beside the least that they could cost.

pub mod bytes;
mod cart;
mod detail;
pub mod round_trip;
mod zipf;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::TokenIssuer;
use ferrocart_stack::{Component, Components, Service, Stack};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::checkout::{buyer, post};
use crate::gateway::unlimited;
use crate::inventory::issuer;
use crate::load::Shape;
use crate::report::Figure;

const PUBLISHED_DEADLINE: Duration = Duration::from_mins(10);
const PUBLISHED_POLL: Duration = Duration::from_millis(250);
/// Of a product made for a load; with the rest its body has about 1,500 bytes.
const DESCRIPTION: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One product, warm
    Detail,
    /// Very many products, cold
    Zipf,
    /// Into the cart
    Cart,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Detail, Self::Cart, Self::Zipf];
}

#[derive(Debug, Clone)]
pub struct Options {
    pub runs: usize,
    pub shape: Shape,
    pub parts: Vec<Part>,
    pub binaries: PathBuf,
    pub quick: bool,
}

/// The services that are shopped at.
struct Shop {
    options: Options,
    stack: Stack,
    http: reqwest::Client,
    /// The gateway's, for those who ask a service itself.
    issuer: TokenIssuer,
    /// May change the catalog.
    merchant: String,
}

pub async fn run(options: Options) -> Result<(Vec<Figure>, Vec<String>)> {
    let shop = Shop::open(options).await?;
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for part in Part::ALL {
        if !shop.options.parts.contains(&part) {
            continue;
        }
        let (more, said) = match part {
            Part::Detail => detail::measure(&shop).await.context("product details")?,
            Part::Cart => cart::measure(&shop).await.context("carts")?,
            Part::Zipf => zipf::measure(&shop).await.context("reads by Zipf's law")?,
        };
        figures.extend(more);
        notes.extend(said);
    }
    shop.stack.down().await?;
    Ok((figures, notes))
}

/// A product that was made for a load.
struct Made {
    product_id: uuid::Uuid,
    sku_id: uuid::Uuid,
}

impl Shop {
    async fn open(options: Options) -> Result<Self> {
        let mut components = Component::STORES.to_vec();
        for service in [
            Service::Catalog,
            Service::Inventory,
            Service::Cart,
            Service::Gateway,
        ] {
            components.push(service.into());
        }
        let builder = Stack::builder()
            .components(Components::Of(components))
            .binaries(&options.binaries);
        let stack = unlimited(builder)
            .start()
            .await
            .context("bring catalog, cart and gateway up")?;
        stack.create_sample_accounts().await?;
        Ok(Self {
            merchant: stack.access_token("merchant").await?,
            issuer: issuer(&stack, Service::Gateway, "gateway")?,
            http: buyer(0)?,
            options,
            stack,
        })
    }

    fn address(&self, service: Service) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.stack.port(service)))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let gateway = self.stack.url(Service::Gateway);
        post(&self.http, &gateway, &self.merchant, path, body).await
    }

    /// Products that are alike to the byte but for their ids, in a category of their own.
    async fn make_products(&self, kind: &str, count: usize) -> Result<Vec<Made>> {
        let category = json!({ "slug": kind, "name": "Bench" });
        self.post("/v1/categories", &category).await?;
        let mut made = Vec::with_capacity(count);
        for number in 100..100 + count {
            let product = json!({
                "handle": format!("{kind}-{number}"), "title": format!("Bench {number}"),
                "description": "x".repeat(DESCRIPTION), "brand": "Bench", "category": kind, "attributes": {},
                "images": [],
                "variants": [{ "sku": format!("{kind}-{number}"), "options": {},
                               "price": { "amount_minor": 4_200, "currency": "USD" } }],
            });
            let product = self.post("/v1/products", &product).await?;
            let id = |value: &Value| -> Result<uuid::Uuid> {
                value
                    .as_str()
                    .unwrap_or_default()
                    .parse()
                    .context("a product's id")
            };
            made.push(Made {
                product_id: id(&product["product_id"])?,
                sku_id: id(&product["variants"][0]["sku_id"])?,
            });
        }
        Ok(made)
    }

    /// Waits until these services have told all that they have to tell.
    async fn published(&self, services: &[Service]) -> Result<()> {
        for service in services {
            let pool = self.database(*service).await?;
            let began = Instant::now();
            loop {
                let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox)")
                    .fetch_one(&pool)
                    .await
                    .context("look at the outbox")?;
                if !left {
                    break;
                }
                ensure!(
                    began.elapsed() < PUBLISHED_DEADLINE,
                    "{service} has not published all after {PUBLISHED_DEADLINE:?}"
                );
                tokio::time::sleep(PUBLISHED_POLL).await;
            }
            pool.close().await;
        }
        Ok(())
    }

    async fn database(&self, service: Service) -> Result<PgPool> {
        let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
        options
            .connect(&self.stack.database_url(service)?)
            .await
            .with_context(|| format!("connect to the database of {service}"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.stack.folder().join(format!("{name}.log"))
    }
}
