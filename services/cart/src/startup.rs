use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use ferrocart_config::ConfigError;
use ferrocart_contracts::Topic;
use ferrocart_http_kit::{
    Background, Check, Readiness, Server, ServerParts, ServiceClient, ServiceMain, TokenIssuer,
    TokenVerifier, run_service,
};
use ferrocart_kafka_kit::{Consumer, ensure_topics};
use ferrocart_redis_kit::Redis;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::clients::{CatalogClient, InventoryClient};
use crate::config::Settings;
use crate::consumers::OrderEvents;
use crate::openapi::Document;
use crate::routes::{self, State};
use crate::store::{CartStore, Durability};

const NAME: &str = "cart";

/// The binary's view of the service.
#[derive(Debug)]
pub struct CartService;

impl ServiceMain for CartService {
    const NAME: &'static str = NAME;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        settings.validate()
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        Document::openapi()
    }

    /// Redis has no schema; there is nothing to migrate.
    async fn migrate(_settings: Settings) -> anyhow::Result<()> {
        Ok(())
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        Application::build(&settings, Arc::new(SystemClock), Arc::new(SystemIds))?
            .run_until_stopped(cancel)
            .await
    }
}

/// The service, bound to its port and not yet serving.
pub struct Application {
    server: Server,
    settings: Settings,
    redis: Redis,
    clock: SharedClock,
    ids: SharedIds,
}

impl Application {
    pub fn build(settings: &Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        Ok(Self {
            server: Server::bind(&settings.http)?,
            redis: Redis::new(&settings.redis)?,
            settings: settings.clone(),
            clock,
            ids,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// Serves and consumes until the token is cancelled.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Self {
            server,
            settings,
            redis,
            clock,
            ids,
        } = self;
        let issuer = TokenIssuer::load(NAME, &settings.auth, clock)?;
        let store = CartStore::new(redis.clone(), settings.cart.clone());
        let (catalog, inventory) = neighbours(&settings, &issuer)?;
        let state = web::Data::new(State {
            store: store.clone(),
            catalog,
            inventory,
            ids,
            currency: settings.cart.currency,
        });
        let parts = ServerParts {
            service: NAME,
            readiness: readiness(redis),
            openapi: Document::openapi(),
            verifier: Some(TokenVerifier::load(NAME, &settings.auth)?),
            public_paths: &[],
        };

        let configure = move |config: &mut web::ServiceConfig| {
            config.app_data(state.clone());
            routes::configure(config);
        };
        let background = |tasks: &mut Background, stop| {
            tasks.spawn("order-events", consume(settings, store, stop));
        };
        run_service(server, parts, configure, background, cancel).await
    }
}

fn neighbours(settings: &Settings, issuer: &TokenIssuer) -> anyhow::Result<(CatalogClient, InventoryClient)> {
    let client = |service, url: &str, timeout_ms| {
        ServiceClient::new(service, url, issuer.clone(), Duration::from_millis(timeout_ms))
    };
    let good_for = Duration::from_millis(settings.offers_ttl_ms);
    let catalog = client("catalog", &settings.catalog_url, settings.catalog_timeout_ms)?;
    let inventory = client(
        "inventory",
        &settings.inventory_url,
        settings.inventory_timeout_ms,
    )?;
    Ok((
        CatalogClient::new(catalog, good_for),
        InventoryClient::new(inventory, good_for),
    ))
}

fn readiness(redis: Redis) -> Readiness {
    let durability = Durability::new(redis);
    let check = move || {
        let durability = durability.clone();
        async move { durability.check().await }
    };
    Readiness::new(vec![Check::new("redis", check)])
}

async fn consume(settings: Settings, store: CartStore, cancel: CancellationToken) -> anyhow::Result<()> {
    let topics = [Topic::Order];
    tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        outcome = ensure_topics(&settings.kafka, Some((NAME, &topics))) => outcome?,
    }
    let consumer = Consumer::new(&settings.kafka, NAME, &topics)?;
    consumer.run(OrderEvents { store }, cancel).await
}
