use std::sync::Arc;

use actix_web::web;
use ferrocart_config::ConfigError;
use ferrocart_http_kit::{
    Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenVerifier, run_service,
};
use ferrocart_redis_kit::Redis;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::app::{Finder, Serving};
use crate::config::{EMBEDDED, Settings};
use crate::engine::language::Synonyms;
use crate::engine::{EmbeddedIndexes, EmbeddedSettings, Indexes, OpenSearchIndexes, OpenSearchSettings};
use crate::openapi::Document;
use crate::routes;
use crate::store::ResultCache;
use crate::workers::Keeper;

/// The service, for its binary.
#[derive(Debug)]
pub struct Search;

impl ServiceMain for Search {
    const NAME: &'static str = "search";
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

    /// There is no database; an index of another layout is filled anew by `serve`.
    async fn migrate(_settings: Settings) -> anyhow::Result<()> {
        Ok(())
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds))
            .await?
            .run_until_stopped(cancel)
            .await
    }
}

/// The service with its port bound and its index open.
pub struct Application {
    settings: Settings,
    server: Server,
    indexes: Arc<dyn Indexes>,
    serving: Arc<Serving>,
    redis: Redis,
    synonyms: Arc<Synonyms>,
    verifier: TokenVerifier,
    clock: SharedClock,
}

impl Application {
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        settings.validate()?;
        let server = Server::bind(&settings.http)?;
        let verifier = TokenVerifier::load(Search::NAME, &settings.auth)?;
        let redis = Redis::new(&settings.redis)?;
        let synonyms = Arc::new(Synonyms::load(&settings.synonyms_file)?);
        let indexes = indexes(&settings, &synonyms, ids)?;
        let engine = indexes.serving().await?;
        tracing::info!(index.id = engine.index_id(), "the index is open");
        Ok(Self {
            settings,
            server,
            indexes,
            serving: Arc::new(Serving::new(engine)),
            redis,
            synonyms,
            verifier,
            clock,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// Serves until the token is cancelled: first HTTP ends, then what runs in the background.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Self {
            settings,
            server,
            indexes,
            serving,
            redis,
            synonyms,
            verifier,
            clock,
        } = self;
        let parts = ServerParts {
            service: Search::NAME,
            readiness: readiness(&serving),
            openapi: Document::openapi(),
            verifier: Some(verifier),
            public_paths: &[],
        };
        let cache = ResultCache::new(redis, settings.cache_ttl());
        let finder = web::Data::new(Finder::new(Arc::clone(&serving), cache, synonyms));
        let configure = move |config: &mut web::ServiceConfig| {
            config.app_data(finder.clone());
            routes::configure(config);
        };
        let background = |tasks: &mut Background, stop: CancellationToken| {
            let Settings {
                kafka,
                index_batch_max,
                ..
            } = settings;
            let keeper = Keeper {
                serving,
                indexes,
                kafka,
                batch_max: index_batch_max,
                clock,
            };
            tasks.spawn("keeper", keeper.run(stop));
        };
        run_service(server, parts, configure, background, cancel).await
    }
}

fn indexes(
    settings: &Settings,
    synonyms: &Arc<Synonyms>,
    ids: SharedIds,
) -> anyhow::Result<Arc<dyn Indexes>> {
    if settings.search_engine != EMBEDDED {
        let cluster = OpenSearchSettings {
            url: settings.search_engine.clone(),
            prefix: settings.search_engine_prefix.clone(),
            timeout: settings.search_engine_timeout(),
            synonyms: Arc::clone(synonyms),
        };
        return Ok(Arc::new(OpenSearchIndexes::new(cluster, ids)?));
    }
    let embedded = EmbeddedSettings {
        folder: settings.index_dir.clone(),
        memory_bytes: settings.index_memory_bytes,
        query_parallel_max: settings.query_parallel_max,
        query_wait: settings.query_wait(),
        synonyms: Arc::clone(synonyms),
    };
    Ok(Arc::new(EmbeddedIndexes::new(embedded, ids)))
}

/// Ready when the index can be asked. Neither Redis nor Kafka is needed for that, and an index that still
/// catches up answers with what it has.
fn readiness(serving: &Arc<Serving>) -> Readiness {
    let serving = Arc::clone(serving);
    Readiness::new(vec![Check::new("index", move || {
        let engine = serving.engine();
        async move { engine.documents().await.map(|_| ()) }
    })])
}
