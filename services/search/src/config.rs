use std::path::PathBuf;
use std::time::Duration;

use ferrocart_config::ConfigError;
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use serde::Deserialize;

/// What tantivy needs at least for one indexing thread.
const INDEX_MEMORY_BYTES_MIN: usize = 15_000_000;
const INDEX_MEMORY_BYTES_MAX: usize = 2_000_000_000;

/// All settings; `config.default.toml` says what each means.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub http: HttpSettings,
    #[serde(flatten)]
    pub telemetry: TelemetrySettings,
    #[serde(flatten)]
    pub auth: AuthSettings,
    #[serde(flatten)]
    pub kafka: KafkaSettings,
    #[serde(flatten)]
    pub redis: RedisSettings,
    pub cache_ttl_seconds: u64,
    pub index_dir: PathBuf,
    pub index_memory_bytes: usize,
    pub index_batch_max: usize,
    pub query_parallel_max: usize,
    pub query_wait_ms: u64,
    pub synonyms_file: PathBuf,
    pub search_engine: String,
    pub search_engine_prefix: String,
    pub search_engine_timeout_ms: u64,
}

/// The value of `search_engine` that chooses the index on this machine's disk.
pub(crate) const EMBEDDED: &str = "embedded";

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.index_dir.as_os_str().is_empty() {
            return Err(ConfigError::rejected(
                "index_dir",
                "set INDEX_DIR to a folder for the index",
            ));
        }
        if !(INDEX_MEMORY_BYTES_MIN..=INDEX_MEMORY_BYTES_MAX).contains(&self.index_memory_bytes) {
            let reason = format!("must be from {INDEX_MEMORY_BYTES_MIN} to {INDEX_MEMORY_BYTES_MAX}");
            return Err(ConfigError::rejected("index_memory_bytes", reason));
        }
        if !(1..=10_000).contains(&self.index_batch_max) {
            return Err(ConfigError::rejected(
                "index_batch_max",
                "must be from 1 to 10000",
            ));
        }
        if !(1..=256).contains(&self.query_parallel_max) {
            return Err(ConfigError::rejected(
                "query_parallel_max",
                "must be from 1 to 256",
            ));
        }
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| self.search_engine.starts_with(scheme));
        if self.search_engine != EMBEDDED && !is_url {
            let reason = "must be `embedded` or the URL of an OpenSearch or Elasticsearch cluster";
            return Err(ConfigError::rejected("search_engine", reason));
        }
        if !(1..=60_000).contains(&self.search_engine_timeout_ms) {
            return Err(ConfigError::rejected(
                "search_engine_timeout_ms",
                "must be from 1 to 60000",
            ));
        }
        if self.cache_ttl_seconds == 0 {
            return Err(ConfigError::rejected("cache_ttl_seconds", "must be at least 1"));
        }
        Ok(())
    }

    pub(crate) fn search_engine_timeout(&self) -> Duration {
        Duration::from_millis(self.search_engine_timeout_ms)
    }

    pub(crate) fn query_wait(&self) -> Duration {
        Duration::from_millis(self.query_wait_ms)
    }

    pub(crate) fn cache_ttl(&self) -> Duration {
        Duration::from_secs(self.cache_ttl_seconds)
    }
}
