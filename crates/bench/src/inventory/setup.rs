//! What the loads need before they begin.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::{AuthSettings, Role, TokenIssuer, UserIdentity};
use ferrocart_stack::{Component, Components, Service, Stack};
use ferrocart_types::{IdGen as _, SystemClock, SystemIds, UserId};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Bench, Options};
use crate::child::{ReferenceServer, ServiceProcess, ServiceStart};
use crate::load::Skus;
use crate::naive;

/// How long a counter may take to come into use.
const COUNTER_DEADLINE: Duration = Duration::from_secs(30);
const COUNTER_POLL: Duration = Duration::from_millis(20);

/// How a SKU is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Ordinary,
    /// With a counter in Redis before it, as in a flash sale.
    Preloaded,
}

impl Bench {
    pub(super) async fn prepare(options: Options) -> Result<Self> {
        let mut components = Component::STORES.to_vec();
        components.push(Service::Inventory.into());
        let stack = Stack::builder()
            .components(Components::Of(components))
            .binaries(&options.binaries)
            .start()
            .await
            .context("bring the inventory service up")?;
        let database_url = stack.database_url(Service::Inventory)?;
        let env = stack.env_for(Service::Inventory)?;
        let log = stack.folder().join("naive.log");
        Ok(Self {
            pool: PgPool::connect(&database_url)
                .await
                .context("connect to the inventory's database")?,
            naive_pool: naive::pool(&database_url)?,
            reference: ReferenceServer::start(&env, &log).await?,
            gateway: issuer(&stack, Service::Gateway, "gateway")?,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .context("an HTTP client")?,
            service: SocketAddr::from((Ipv4Addr::LOCALHOST, stack.port(Service::Inventory))),
            extra: Vec::new(),
            spread: None,
            growth: None,
            samples: BTreeMap::new(),
            released_us: BTreeMap::new(),
            memory_kib: 0,
            drained: Vec::new(),
            options,
            stack,
        })
    }

    /// A new SKU with so many units, made through the API as a merchant's is.
    pub(super) async fn stock(&self, units: i64) -> Result<Skus> {
        let skus = Skus::one();
        let sku = skus.first();
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
        Ok(skus)
    }

    /// Gives the SKU a counter in Redis, and waits until all these processes of the service use it. The list of
    /// those that have one is in the database, and is read anew twice a second.
    pub(super) async fn preload(&self, skus: Skus, by: &[SocketAddr]) -> Result<()> {
        sqlx::query("INSERT INTO admission (sku_id, shards, loaded_at) VALUES ($1, 1, now())")
            .bind(skus.first())
            .execute(&self.pool)
            .await
            .context("list the SKU for admission")?;
        self.wait_for_counter(skus, by).await
    }

    pub(super) async fn wait_for_counter(&self, skus: Skus, by: &[SocketAddr]) -> Result<()> {
        let issuer = issuer(&self.stack, Service::Order, "order")?;
        let token = issuer.service_token("inventory").context("sign a token")?;
        for address in by {
            let url = format!("http://{address}/v1/inventory/{}/drift", skus.first());
            let began = Instant::now();
            loop {
                let answer = self.http.get(&url).bearer_auth(&token).send().await;
                let report: Value = answer.context("ask for the counter")?.json().await?;
                if report["counter"]["ready"] == true {
                    break;
                }
                ensure!(
                    began.elapsed() < COUNTER_DEADLINE,
                    "the counter is not in use after {COUNTER_DEADLINE:?}: {report}"
                );
                tokio::time::sleep(COUNTER_POLL).await;
            }
        }
        Ok(())
    }

    /// Takes the counter away, if there is one.
    pub(super) async fn unload(&self, skus: Skus) -> Result<()> {
        sqlx::query("DELETE FROM admission WHERE sku_id = $1")
            .bind(skus.first())
            .execute(&self.pool)
            .await
            .context("take the SKU off the list")?;
        Ok(())
    }

    /// One more process of the service, on the port that a component of the stack has which does not run.
    pub(super) async fn another(
        &mut self,
        port_of: Service,
        env: BTreeMap<String, String>,
    ) -> Result<ServiceProcess> {
        let start = ServiceStart {
            program: self.program(),
            env,
            port: self.stack.port(port_of),
            log: self.stack.folder().join("inventory-other.log"),
        };
        let process = ServiceProcess::start(start, &self.http).await?;
        self.extra.extend(process.pid());
        Ok(process)
    }

    pub(super) async fn stop_other(&mut self, process: ServiceProcess) -> Result<()> {
        self.extra.clear();
        process.stop().await
    }

    pub(super) fn program(&self) -> PathBuf {
        let name = Service::Inventory.binary();
        let path = self.options.binaries.join(name);
        // The service runs with another working folder or none; relative paths are ours.
        path.canonicalize().unwrap_or(path)
    }
}

pub(crate) fn issuer(stack: &Stack, service: Service, name: &'static str) -> Result<TokenIssuer> {
    let mut env = stack.env_for(service)?;
    let mut file = |key: &str| env.remove(key).map(PathBuf::from).context("a key's file");
    let settings = AuthSettings {
        internal_signing_key_file: file("INTERNAL_SIGNING_KEY_FILE")?,
        internal_jwks_file: file("INTERNAL_JWKS_FILE")?,
    };
    TokenIssuer::load(name, &settings, Arc::new(SystemClock))
}
