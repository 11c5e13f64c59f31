use ferrocart_config::ConfigError;
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use serde::Deserialize;

use crate::domain::HoldSeconds;

pub const DEFAULTS: &str = include_str!("../config.default.toml");

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
    pub kafka: KafkaSettings,
    #[serde(flatten)]
    pub redis: RedisSettings,
    #[serde(flatten)]
    pub batcher: BatcherSettings,
    #[serde(flatten)]
    pub admission: AdmissionSettings,
    pub catalog_url: String,
    pub catalog_timeout_ms: u64,
    pub hold_seconds_default: i64,
    pub customer_hold_seconds: i64,
    pub sweep_interval_ms: u64,
    #[serde(flatten)]
    pub sales: SaleSettings,
    pub stock_low_threshold: i64,
    pub reconcile_repair: bool,
    pub reconcile_chunk_skus: i64,
    pub reconcile_rest_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BatcherSettings {
    pub lanes: usize,
    pub batch_max: usize,
    pub lane_queue_max: usize,
    pub answer_timeout_ms: u64,
}

/// The counters in Redis before the stock.
#[derive(Debug, Clone, Deserialize)]
pub struct AdmissionSettings {
    pub redis_cluster: bool,
    pub admission_refresh_ms: u64,
    pub admission_compare_ms: u64,
    pub admission_stale_ms: u64,
}

impl AdmissionSettings {
    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("admission_refresh_ms", self.admission_refresh_ms),
            ("admission_compare_ms", self.admission_compare_ms),
            ("admission_stale_ms", self.admission_stale_ms),
        ] {
            if !(1..=60_000).contains(&value) {
                return Err(ConfigError::rejected(key, "must be from 1 to 60000"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct SaleSettings {
    pub waitlist_poll_ms: u64,
    pub waitlist_hold_seconds: i64,
    pub waitlist_patience_seconds: i64,
    pub streams_max: usize,
    pub streams_per_user_max: usize,
    pub stream_heartbeat_ms: u64,
}

impl SaleSettings {
    /// A week.
    const PATIENCE_SECONDS_MAX: i64 = 604_800;

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("waitlist_poll_ms", self.waitlist_poll_ms),
            ("stream_heartbeat_ms", self.stream_heartbeat_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::rejected(key, "must be above 0"));
            }
        }
        for (key, value) in [
            ("streams_max", self.streams_max),
            ("streams_per_user_max", self.streams_per_user_max),
        ] {
            if !(1..=1_000_000).contains(&value) {
                return Err(ConfigError::rejected(key, "must be from 1 to 1000000"));
            }
        }
        if !(1..=Self::PATIENCE_SECONDS_MAX).contains(&self.waitlist_patience_seconds) {
            let message = format!("must be from 1 to {}", Self::PATIENCE_SECONDS_MAX);
            return Err(ConfigError::rejected("waitlist_patience_seconds", message));
        }
        HoldSeconds::new(self.waitlist_hold_seconds)
            .map(|_| ())
            .map_err(|error| ConfigError::rejected("waitlist_hold_seconds", error.to_string()))
    }
}

impl Settings {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bounded = |key, value: usize, max: usize| match value {
            value if (1..=max).contains(&value) => Ok(()),
            _ => Err(ConfigError::rejected(key, format!("must be from 1 to {max}"))),
        };
        bounded("lanes", self.batcher.lanes, 64)?;
        // A line takes two array elements and three rows; far beyond this a statement only gets slower.
        bounded("batch_max", self.batcher.batch_max, 4_096)?;
        bounded("lane_queue_max", self.batcher.lane_queue_max, 1_000_000)?;
        if self.batcher.answer_timeout_ms == 0 {
            return Err(ConfigError::rejected("answer_timeout_ms", "must be above 0"));
        }
        if self.catalog_url.is_empty() {
            return Err(ConfigError::rejected("catalog_url", "must be set"));
        }
        if self.catalog_timeout_ms == 0 {
            return Err(ConfigError::rejected("catalog_timeout_ms", "must be above 0"));
        }
        if self.sweep_interval_ms == 0 {
            return Err(ConfigError::rejected("sweep_interval_ms", "must be above 0"));
        }
        if !(1..=100_000).contains(&self.reconcile_chunk_skus) {
            return Err(ConfigError::rejected(
                "reconcile_chunk_skus",
                "must be from 1 to 100000",
            ));
        }
        self.admission.validate()?;
        if self.redis.redis_timeout_ms == 0 {
            return Err(ConfigError::rejected("redis_timeout_ms", "must be above 0"));
        }
        if self.reconcile_rest_ms == 0 {
            return Err(ConfigError::rejected("reconcile_rest_ms", "must be above 0"));
        }
        self.sales.validate()?;
        HoldSeconds::new(self.customer_hold_seconds)
            .map_err(|error| ConfigError::rejected("customer_hold_seconds", error.to_string()))?;
        HoldSeconds::new(self.hold_seconds_default)
            .map(|_| ())
            .map_err(|error| ConfigError::rejected("hold_seconds_default", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &'static [(&str, &str)]) -> Settings {
        ferrocart_config::load_from(DEFAULTS, |name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        read(&[]).validate().unwrap();
        for (environment, key) in [
            (&[("LANES", "0")], "lanes"),
            (&[("BATCH_MAX", "5000")], "batch_max"),
            (&[("LANE_QUEUE_MAX", "0")], "lane_queue_max"),
            (&[("ANSWER_TIMEOUT_MS", "0")], "answer_timeout_ms"),
            (&[("SWEEP_INTERVAL_MS", "0")], "sweep_interval_ms"),
            (&[("CATALOG_URL", "")], "catalog_url"),
            (&[("CATALOG_TIMEOUT_MS", "0")], "catalog_timeout_ms"),
            (&[("RECONCILE_CHUNK_SKUS", "0")], "reconcile_chunk_skus"),
            (&[("RECONCILE_REST_MS", "0")], "reconcile_rest_ms"),
            (&[("REDIS_TIMEOUT_MS", "0")], "redis_timeout_ms"),
            (&[("ADMISSION_REFRESH_MS", "0")], "admission_refresh_ms"),
            (&[("ADMISSION_COMPARE_MS", "0")], "admission_compare_ms"),
            (&[("ADMISSION_STALE_MS", "60001")], "admission_stale_ms"),
            (&[("WAITLIST_POLL_MS", "0")], "waitlist_poll_ms"),
            (&[("WAITLIST_HOLD_SECONDS", "9")], "waitlist_hold_seconds"),
            (&[("WAITLIST_PATIENCE_SECONDS", "0")], "waitlist_patience_seconds"),
            (&[("STREAMS_MAX", "0")], "streams_max"),
            (&[("STREAMS_PER_USER_MAX", "0")], "streams_per_user_max"),
            (&[("STREAM_HEARTBEAT_MS", "0")], "stream_heartbeat_ms"),
            (&[("CUSTOMER_HOLD_SECONDS", "9")], "customer_hold_seconds"),
            (&[("HOLD_SECONDS_DEFAULT", "9")], "hold_seconds_default"),
        ] {
            let error = read(environment).validate().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
