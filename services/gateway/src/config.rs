use std::path::PathBuf;
use std::time::Duration;

use ferrocart_config::{ConfigError, ExposeSecret, SecretString};
use ferrocart_http_kit::{AuthSettings, HttpSettings, TlsSettings};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::Email;
use serde::Deserialize;

use crate::domain::{Password, RoleMapping, UserRole};
use crate::edge::{Deprecation, EjectionPolicy, Network, public_routes};
use crate::limits::LimitSettings;

/// All settings; `config.default.toml` says what each means.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub http: HttpSettings,
    #[serde(flatten)]
    pub tls: TlsSettings,
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
    pub identity: IdentitySettings,
    #[serde(flatten)]
    pub upstreams: UpstreamSettings,
    pub trusted_proxies: Vec<Network>,
    pub cors_origins: Vec<String>,
    pub deprecations: Vec<Deprecation>,
    pub openapi_refresh_ms: u64,
    pub flash_sales_refresh_ms: u64,
    pub sse_streams_per_user_max: usize,
    pub sse_streams_max: usize,
    pub sse_heartbeat_ms: u64,
    pub limits: LimitSettings,
}

#[derive(Debug, Clone, Deserialize)]
pub struct IdentitySettings {
    pub jwt_signing_key_file: PathBuf,
    pub token_issuer: String,
    #[serde(flatten)]
    pub oidc: OidcSettings,
    pub access_token_seconds: u32,
    pub session_seconds: u32,
    pub guest_session_seconds: u32,
    pub bootstrap_admin_email: String,
    pub bootstrap_admin_password: SecretString,
    pub password_memory_kib: u32,
    pub password_passes: u32,
    pub password_hash_concurrency: usize,
    pub password_hash_wait_ms: u64,
    pub oauth_password_grant: bool,
    pub password_tries_burst: u32,
    pub password_try_seconds: u32,
    pub password_reset_url: String,
    pub password_reset_seconds: u32,
    pub password_resets_per_hour: u32,
    pub email_change_url: String,
    pub email_change_seconds: u32,
    pub email_restore_seconds: u32,
    pub email_changes_per_hour: u32,
}

/// An outside issuer of access tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct OidcSettings {
    pub oidc_issuer: String,
    pub oidc_audience: String,
    pub oidc_jwks_url: String,
    pub oidc_refresh_seconds: u32,
    pub oidc_roles_claim: String,
    pub oidc_roles: Vec<RoleMapping>,
    pub oidc_default_roles: Vec<UserRole>,
}

impl OidcSettings {
    fn validate(&self, own_issuer: &str) -> Result<(), ConfigError> {
        if self.oidc_issuer.is_empty() {
            return Ok(());
        }
        if self.oidc_issuer == own_issuer {
            return Err(ConfigError::rejected(
                "oidc_issuer",
                "is token_issuer: that is this gateway",
            ));
        }
        if self.oidc_audience.is_empty() {
            return Err(ConfigError::rejected(
                "oidc_audience",
                "is needed: a token for somebody else must not be good here",
            ));
        }
        for (key, url) in [
            ("oidc_issuer", &self.oidc_issuer),
            ("oidc_jwks_url", &self.oidc_jwks_url),
        ] {
            if !url.is_empty() && !is_safe(url) {
                return Err(ConfigError::rejected(
                    key,
                    "an https URL is expected, or http to this machine: whoever changes the keys on their way is everybody",
                ));
            }
        }
        if self.oidc_refresh_seconds == 0 {
            return Err(ConfigError::rejected(
                "oidc_refresh_seconds",
                "must be at least 1",
            ));
        }
        Ok(())
    }
}

/// Whether nobody can change on its way what comes from there.
pub(crate) fn is_safe(url: &str) -> bool {
    let Ok(url) = url.parse::<url::Url>() else {
        return false;
    };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

impl IdentitySettings {
    fn validate(&self) -> Result<(), ConfigError> {
        self.oidc.validate(&self.token_issuer)?;
        for (key, page) in [
            ("password_reset_url", &self.password_reset_url),
            ("email_change_url", &self.email_change_url),
        ] {
            let page: Option<url::Url> = page.parse().ok();
            if !page
                .is_some_and(|page| matches!(page.scheme(), "http" | "https") && page.fragment().is_none())
            {
                return Err(ConfigError::rejected(
                    key,
                    "an http or https URL without a fragment is expected",
                ));
            }
        }
        for (key, seconds) in [
            ("password_tries_burst", self.password_tries_burst),
            ("password_try_seconds", self.password_try_seconds),
            ("password_reset_seconds", self.password_reset_seconds),
            ("email_change_seconds", self.email_change_seconds),
            ("email_restore_seconds", self.email_restore_seconds),
        ] {
            if seconds == 0 {
                return Err(ConfigError::rejected(key, "must be at least 1"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamSettings {
    pub catalog_url: String,
    pub search_url: String,
    pub cart_url: String,
    pub inventory_url: String,
    pub order_url: String,
    pub payment_url: String,
    pub notification_url: String,
    pub upstream_connect_timeout_ms: u64,
    pub timeout_default_ms: u64,
    pub timeout_checkout_ms: u64,
    pub timeout_import_ms: u64,
    pub upstream_in_flight_max: usize,
    pub upstream_retry_percent: u32,
    pub upstream_ejection_failures: u32,
    pub upstream_ejection_ms: u64,
    pub upstream_ejected_percent_max: usize,
    pub import_bytes_max: u64,
}

impl UpstreamSettings {
    pub(crate) fn ejection(&self) -> EjectionPolicy {
        EjectionPolicy {
            failures: self.upstream_ejection_failures,
            time: Duration::from_millis(self.upstream_ejection_ms),
            percent_max: self.upstream_ejected_percent_max,
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.upstream_ejection_failures == 0 {
            return Err(ConfigError::rejected(
                "upstream_ejection_failures",
                "must be at least 1",
            ));
        }
        for (key, percent) in [
            ("upstream_ejected_percent_max", self.upstream_ejected_percent_max),
            (
                "upstream_retry_percent",
                usize::try_from(self.upstream_retry_percent).unwrap_or(usize::MAX),
            ),
        ] {
            if percent > 100 {
                return Err(ConfigError::rejected(key, "must be from 0 to 100"));
            }
        }
        Ok(())
    }
}

impl Settings {
    pub fn openapi_refresh(&self) -> Duration {
        Duration::from_millis(self.openapi_refresh_ms)
    }

    /// Refuses values that make no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let identity = &self.identity;
        if identity.access_token_seconds == 0 {
            return Err(ConfigError::rejected(
                "access_token_seconds",
                "must be at least 1",
            ));
        }
        if identity.password_hash_concurrency == 0 {
            return Err(ConfigError::rejected(
                "password_hash_concurrency",
                "must be at least 1",
            ));
        }
        if identity.token_issuer.is_empty() {
            return Err(ConfigError::rejected("token_issuer", "must not be empty"));
        }
        if !identity.bootstrap_admin_email.is_empty() {
            Email::parse(&identity.bootstrap_admin_email)
                .map_err(|error| ConfigError::rejected("bootstrap_admin_email", error.to_string()))?;
            Password::parse(identity.bootstrap_admin_password.expose_secret())
                .map_err(|error| ConfigError::rejected("bootstrap_admin_password", error.to_string()))?;
        }
        if self.sse_heartbeat_ms == 0 {
            return Err(ConfigError::rejected("sse_heartbeat_ms", "must be at least 1"));
        }
        self.upstreams.validate()?;
        self.identity.validate()?;
        if self.flash_sales_refresh_ms == 0 {
            return Err(ConfigError::rejected(
                "flash_sales_refresh_ms",
                "must be at least 1",
            ));
        }
        for (method, path) in self.limits.routes() {
            if !public_routes().any(|(known, route)| known == method && route == path) {
                return Err(ConfigError::rejected(
                    "limits.routes",
                    format!("there is no `{method} {path}` in this API"),
                ));
            }
        }
        self.limits.validate()
    }
}
