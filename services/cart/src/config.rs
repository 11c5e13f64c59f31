use ferrocart_config::ConfigError;
use ferrocart_http_kit::{AuthSettings, HttpSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::Currency;
use serde::Deserialize;

/// See `config.default.toml` for what each setting means.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub http: HttpSettings,
    #[serde(flatten)]
    pub telemetry: TelemetrySettings,
    #[serde(flatten)]
    pub auth: AuthSettings,
    #[serde(flatten)]
    pub redis: RedisSettings,
    #[serde(flatten)]
    pub kafka: KafkaSettings,
    pub catalog_url: String,
    pub catalog_timeout_ms: u64,
    pub inventory_url: String,
    pub inventory_timeout_ms: u64,
    pub offers_ttl_ms: u64,
    pub cart: CartLimits,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CartLimits {
    pub user_ttl_seconds: u32,
    pub guest_ttl_seconds: u32,
    pub lines_max: u16,
    pub quantity_max: u16,
    pub currency: Currency,
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.offers_ttl_ms > 5_000 {
            return Err(ConfigError::rejected(
                "offers_ttl_ms",
                "must be at most 5000: a buyer should see the price that the checkout asks for",
            ));
        }
        let limits = &self.cart;
        if limits.user_ttl_seconds == 0 || limits.guest_ttl_seconds == 0 {
            return Err(ConfigError::rejected(
                "cart.user_ttl_seconds, cart.guest_ttl_seconds",
                "must be above 0",
            ));
        }
        if !(1..=1_000).contains(&limits.lines_max) {
            return Err(ConfigError::rejected("cart.lines_max", "must be from 1 to 1000"));
        }
        if !(1..=10_000).contains(&limits.quantity_max) {
            return Err(ConfigError::rejected(
                "cart.quantity_max",
                "must be from 1 to 10000",
            ));
        }
        Ok(())
    }
}
