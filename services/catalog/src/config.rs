use std::time::Duration;

use ferrocart_config::ConfigError;
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use serde::Deserialize;

use crate::domain::ImageSizes;

pub(crate) const DEFAULTS: &str = include_str!("../config.default.toml");

/// The settings of this service; `config.default.toml` describes each.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub http: HttpSettings,
    #[serde(flatten)]
    pub telemetry: TelemetrySettings,
    #[serde(flatten)]
    pub auth: AuthSettings,
    #[serde(flatten)]
    pub pg: PgSettings,
    #[serde(flatten)]
    pub redis: RedisSettings,
    #[serde(flatten)]
    pub kafka: KafkaSettings,
    #[serde(flatten)]
    pub cache: CacheSettings,
    pub import_concurrency_max: usize,
    pub import_idle_timeout_ms: u64,
    pub export_concurrency_max: usize,
    pub reviews_need_approval: bool,
    pub image_url_template: String,
    pub image_widths: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CacheSettings {
    pub cache_local_ttl_ms: u64,
    pub cache_bytes_max: u64,
    pub cache_shared_ttl_seconds: u64,
    pub read_deadline_ms: u64,
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.cache.cache_local_ttl_ms > 1_000 {
            return Err(ConfigError::rejected(
                "cache_local_ttl_ms",
                "must be at most 1000: other replicas' changes are promised to show within a second",
            ));
        }
        if self.cache.cache_shared_ttl_seconds < 10 {
            return Err(ConfigError::rejected(
                "cache_shared_ttl_seconds",
                "must be at least 10",
            ));
        }
        for (name, value) in [
            ("import_concurrency_max", self.import_concurrency_max),
            ("export_concurrency_max", self.export_concurrency_max),
        ] {
            if value == 0 {
                return Err(ConfigError::rejected(name, "must be at least 1"));
            }
        }
        self.images()?;
        Ok(())
    }

    pub(crate) fn images(&self) -> Result<ImageSizes, ConfigError> {
        ImageSizes::new(&self.image_url_template, &self.image_widths)
            .map_err(|reason| ConfigError::rejected("image_url_template", reason))
    }

    pub(crate) fn import_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.import_idle_timeout_ms)
    }
}

impl CacheSettings {
    pub(crate) fn local_ttl(&self) -> Duration {
        Duration::from_millis(self.cache_local_ttl_ms)
    }

    pub(crate) fn read_deadline(&self) -> Duration {
        Duration::from_millis(self.read_deadline_ms)
    }
}
