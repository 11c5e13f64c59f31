use std::time::Duration;

use ferrocart_config::{ConfigError, ExposeSecret};
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use serde::Deserialize;

pub(crate) const DEFAULTS: &str = include_str!("../config.default.toml");

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
    pub pg: PgSettings,
    #[serde(flatten)]
    pub redis: RedisSettings,
    #[serde(flatten)]
    pub kafka: KafkaSettings,
    #[serde(flatten)]
    pub neighbours: NeighbourSettings,
    #[serde(flatten)]
    pub saga: SagaSettings,
    pub checkout_deadline_ms: u64,
    pub order_read_timeout_ms: u64,
    pub order_snapshot_keep_hours: u32,
    pub idempotency_keep_hours: u32,
    pub inbox_keep_hours: u32,
    pub partition_months_ahead: i32,
}

/// Where the other services are, and how long a call to them may take.
#[derive(Debug, Clone, Deserialize)]
pub struct NeighbourSettings {
    pub catalog_url: String,
    pub cart_url: String,
    pub inventory_url: String,
    pub payment_url: String,
    pub call_timeout_ms: u64,
    pub payment_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SagaSettings {
    pub hold_seconds: u32,
    pub payment_action_seconds_max: u32,
    pub payment_later_seconds_max: u32,
    pub saga_lease_ms: u64,
    pub saga_poll_ms: u64,
    pub saga_concurrency_max: usize,
    pub saga_tries_max: u32,
    pub saga_backoff_min_ms: u64,
    pub saga_backoff_max_ms: u64,
    pub saga_stuck_tries: u32,
    pub payment_look_ms: u64,
}

impl SagaSettings {
    pub(crate) const fn payment_look(&self) -> Duration {
        Duration::from_millis(self.payment_look_ms)
    }
}

/// A reservation is held for an hour at most; the payment must be through before.
const PAYMENT_SECONDS_MAX: u32 = 3_300;

impl Settings {
    pub fn checkout_deadline(&self) -> Duration {
        Duration::from_millis(self.checkout_deadline_ms)
    }

    pub fn snapshots_keep(&self) -> Duration {
        Duration::from_hours(u64::from(self.order_snapshot_keep_hours))
    }

    /// Refuses values that make no sense together.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refused = |key, reason: &str| ConfigError::rejected(key, reason);
        if self.pg.database_url.expose_secret().is_empty() {
            return Err(refused("database_url", "is not set"));
        }
        let longest_call = self
            .neighbours
            .call_timeout_ms
            .max(self.neighbours.payment_timeout_ms);
        if self.saga.saga_lease_ms <= longest_call {
            let reason = format!(
                "must be above the longest call, {longest_call} ms: a driver that waits must not be taken for dead"
            );
            return Err(refused("saga_lease_ms", &reason));
        }
        if !(60..=3600).contains(&self.saga.hold_seconds) {
            return Err(refused("hold_seconds", "must be from 60 to 3600"));
        }
        for (key, seconds) in [
            ("payment_action_seconds_max", self.saga.payment_action_seconds_max),
            ("payment_later_seconds_max", self.saga.payment_later_seconds_max),
        ] {
            if !(1..=PAYMENT_SECONDS_MAX).contains(&seconds) {
                return Err(refused(
                    key,
                    "must be from 1 to 3300: inventory extends a reservation to an hour at most",
                ));
            }
        }
        if self.saga.saga_backoff_min_ms == 0 || self.saga.saga_backoff_max_ms < self.saga.saga_backoff_min_ms
        {
            return Err(refused(
                "saga_backoff_max_ms",
                "must be at least saga_backoff_min_ms, which must be above 0",
            ));
        }
        if self.saga.saga_tries_max == 0 || self.saga.saga_concurrency_max == 0 || self.saga.saga_poll_ms == 0
        {
            return Err(refused(
                "saga_tries_max",
                "saga_tries_max, saga_concurrency_max and saga_poll_ms must be above 0",
            ));
        }
        if !(1..=60_000).contains(&self.saga.payment_look_ms) {
            return Err(refused("payment_look_ms", "must be from 1 to 60000"));
        }
        if self.order_read_timeout_ms == 0 {
            return Err(refused("order_read_timeout_ms", "must be above 0"));
        }
        if self.order_snapshot_keep_hours == 0 {
            return Err(refused("order_snapshot_keep_hours", "must be above 0"));
        }
        if !(1..=24).contains(&self.partition_months_ahead) {
            return Err(refused("partition_months_ahead", "must be from 1 to 24"));
        }
        if self.idempotency_keep_hours < 24 || self.inbox_keep_hours < 192 {
            return Err(refused(
                "idempotency_keep_hours",
                "keys are kept at least 24 hours, applied events at least 192",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<(), ConfigError> {
        let settings: Settings = ferrocart_config::load_from(DEFAULTS, |name| match name {
            "DATABASE_URL" => Some("postgres://orders@localhost/orders".to_owned()),
            name if name == key => Some(value.to_owned()),
            _ => None,
        })?;
        settings.validate()
    }

    #[test]
    fn the_defaults_make_sense_and_nonsense_is_named() {
        read("", "").unwrap();
        for (key, value) in [
            ("SAGA_LEASE_MS", "9000"),
            ("HOLD_SECONDS", "59"),
            ("PAYMENT_ACTION_SECONDS_MAX", "3301"),
            ("PAYMENT_LATER_SECONDS_MAX", "0"),
            ("SAGA_BACKOFF_MAX_MS", "1"),
            ("IDEMPOTENCY_KEEP_HOURS", "1"),
            ("ORDER_READ_TIMEOUT_MS", "0"),
            ("PAYMENT_LOOK_MS", "0"),
            ("PARTITION_MONTHS_AHEAD", "0"),
            ("ORDER_SNAPSHOT_KEEP_HOURS", "0"),
        ] {
            let error = read(key, value).unwrap_err().to_string();
            assert!(error.contains(&key.to_lowercase()), "{error}");
        }
    }
}
