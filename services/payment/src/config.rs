use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_config::{ConfigError, ExposeSecret, SecretString};
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_telemetry::TelemetrySettings;
use serde::Deserialize;

use crate::app::{Patience, Schedule};
use crate::provider::{BreakerSettings, StripeSettings};

/// Documented, with units, in `config.default.toml`.
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
    pub psp: PspSettings,
    #[serde(flatten)]
    pub reconciliation: ReconciliationSettings,
    pub recovery_interval_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ReconciliationSettings {
    pub reconciliation_interval_ms: u64,
    pub reconciliation_window_hours: u32,
    pub reconciliation_pause_ms: u64,
}

impl ReconciliationSettings {
    pub(crate) fn schedule(self) -> Schedule {
        Schedule {
            every: Duration::from_millis(self.reconciliation_interval_ms),
            window: TimeDelta::hours(self.reconciliation_window_hours.into()),
            pause: Duration::from_millis(self.reconciliation_pause_ms),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct PspSettings {
    pub psp_url: String,
    pub psp_api_key: SecretString,
    pub psp_webhook_secret: SecretString,
    pub psp_publishable_key: String,
    pub psp_return_url: String,
    pub psp_timeout_ms: u64,
    pub psp_resolve_timeout_ms: u64,
    pub psp_concurrency_max: usize,
    pub psp_queue_timeout_ms: u64,
    pub psp_breaker_failures_max: u32,
    pub psp_breaker_open_ms: u64,
}

impl PspSettings {
    pub(crate) fn stripe(&self) -> StripeSettings {
        StripeSettings {
            base_url: self.psp_url.clone(),
            api_key: self.psp_api_key.clone(),
            timeout: Duration::from_millis(self.psp_timeout_ms),
            return_url: self.psp_return_url.clone(),
            concurrency_max: self.psp_concurrency_max,
            queue_timeout: Duration::from_millis(self.psp_queue_timeout_ms),
            breaker: BreakerSettings {
                failures_max: self.psp_breaker_failures_max,
                open_for: Duration::from_millis(self.psp_breaker_open_ms),
            },
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            // A call may wait for its turn first.
            call: Duration::from_millis(self.psp_timeout_ms + self.psp_queue_timeout_ms),
            resolve: Duration::from_millis(self.psp_resolve_timeout_ms),
        }
    }
}

/// Refuses values that make no sense.
pub fn validate(settings: &Settings) -> Result<(), ConfigError> {
    let (psp, reconciliation) = (&settings.psp, &settings.reconciliation);
    // A secret key there would be shown to every customer.
    if !psp.psp_publishable_key.is_empty() && !psp.psp_publishable_key.starts_with("pk_") {
        return Err(ConfigError::rejected("psp_publishable_key", "pk_… is expected"));
    }
    // An empty secret would let anybody sign.
    for (key, secret) in [
        ("psp_api_key", &psp.psp_api_key),
        ("psp_webhook_secret", &psp.psp_webhook_secret),
        ("database_url", &settings.pg.database_url),
    ] {
        if secret.expose_secret().is_empty() {
            return Err(ConfigError::rejected(key, "must be set"));
        }
    }
    if !psp.psp_url.starts_with("http://") && !psp.psp_url.starts_with("https://") {
        return Err(ConfigError::rejected(
            "psp_url",
            "an http or https URL is expected",
        ));
    }
    let bounded = [
        ("psp_timeout_ms", psp.psp_timeout_ms, 60_000),
        ("psp_resolve_timeout_ms", psp.psp_resolve_timeout_ms, 60_000),
        ("psp_queue_timeout_ms", psp.psp_queue_timeout_ms, 60_000),
        ("psp_breaker_open_ms", psp.psp_breaker_open_ms, 600_000),
        (
            "psp_breaker_failures_max",
            u64::from(psp.psp_breaker_failures_max),
            1_000,
        ),
        (
            "psp_concurrency_max",
            u64::try_from(psp.psp_concurrency_max).unwrap_or(u64::MAX),
            10_000,
        ),
        ("recovery_interval_ms", settings.recovery_interval_ms, 60_000),
        (
            "reconciliation_interval_ms",
            reconciliation.reconciliation_interval_ms,
            7 * 86_400_000,
        ),
        (
            "reconciliation_window_hours",
            u64::from(reconciliation.reconciliation_window_hours),
            24 * 400,
        ),
        (
            "reconciliation_pause_ms",
            reconciliation.reconciliation_pause_ms,
            60_000,
        ),
    ];
    for (key, value, at_most) in bounded {
        if !(1..=at_most).contains(&value) {
            return Err(ConfigError::rejected(key, format!("1 to {at_most} is expected")));
        }
    }
    Ok(())
}
