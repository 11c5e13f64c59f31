//! The payment provider's sandbox and the eight services: what they are started with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::component::{Component, Service};
use crate::keys::Secrets;
use crate::layout::Layout;
use crate::ports::PortPlan;
use crate::process::Launch;
use crate::tools;

/// The sandbox provider's; it is no secret.
const PSP_PUBLISHABLE_KEY: &str = "pk_test_sandbox";

/// What a service's settings are made of.
pub(crate) struct Surroundings<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) ports: &'a PortPlan,
    pub(crate) secrets: &'a Secrets,
    pub(crate) redis_url: &'a str,
    pub(crate) redis_cart_url: &'a str,
    pub(crate) kafka_brokers: &'a str,
    /// By service, of those that have a database.
    pub(crate) database_urls: &'a BTreeMap<Service, String>,
}

impl Surroundings<'_> {
    fn url(&self, component: Component) -> String {
        format!("http://127.0.0.1:{}", self.ports.port(component))
    }

    /// The settings contract, by environment variables; nothing else of our own environment is passed on but
    /// what a person sets to look closer.
    pub(crate) fn environment(&self, service: Service) -> BTreeMap<String, String> {
        let mut environment = inherited();
        let mut set = |name: &str, value: String| {
            environment.insert(name.to_owned(), value);
        };
        set("HOST", "127.0.0.1".to_owned());
        set("PORT", self.ports.port(service.into()).to_string());
        set("KAFKA_BROKERS", self.kafka_brokers.to_owned());
        set(
            "INTERNAL_SIGNING_KEY_FILE",
            path_text(&self.layout.signing_key(service)),
        );
        set("INTERNAL_JWKS_FILE", path_text(&self.layout.internal_jwks()));
        if let Some(url) = self.database_urls.get(&service) {
            set("DATABASE_URL", url.clone());
        }
        if service.uses_redis() {
            let url = match service {
                Service::Cart => self.redis_cart_url,
                _ => self.redis_url,
            };
            set("REDIS_URL", url.to_owned());
        }
        for neighbour in service.calls() {
            set(&neighbour.url_variable(), self.url((*neighbour).into()));
        }
        for (name, value) in self.own_settings(service) {
            set(name, value);
        }
        environment
    }

    fn own_settings(&self, service: Service) -> Vec<(&'static str, String)> {
        match service {
            Service::Gateway => {
                let mut settings = vec![("JWT_SIGNING_KEY_FILE", path_text(&self.layout.gateway_jwt_key()))];
                if let Some(admin) = self.secrets.account("admin") {
                    settings.push(("BOOTSTRAP_ADMIN_EMAIL", admin.email.clone()));
                    settings.push(("BOOTSTRAP_ADMIN_PASSWORD", admin.password.clone()));
                }
                settings
            }
            Service::Payment => vec![
                ("PSP_URL", self.url(Component::PspSandbox)),
                ("PSP_API_KEY", self.secrets.psp_api_key.clone()),
                ("PSP_WEBHOOK_SECRET", self.secrets.psp_webhook_secret.clone()),
                ("PSP_PUBLISHABLE_KEY", PSP_PUBLISHABLE_KEY.to_owned()),
            ],
            Service::Search => vec![("INDEX_DIR", path_text(&self.layout.search_index()))],
            Service::Notification => vec![
                ("MAIL_TRANSPORT", "file".to_owned()),
                ("MAIL_DIR", path_text(&self.layout.mail())),
                ("MAIL_FROM", "Ferrocart <shop@ferrocart.example>".to_owned()),
                ("LINK_BASE", self.url(Service::Gateway.into())),
                ("WEBHOOK_SEAL_KEYS", self.secrets.webhook_seal_key.clone()),
                // A merchant's server is tried out on this machine as well.
                ("WEBHOOKS__ALLOW_LOOPBACK", "true".to_owned()),
            ],
            Service::Catalog | Service::Cart | Service::Inventory | Service::Order => Vec::new(),
        }
    }

    pub(crate) fn service_launch(&self, service: Service, bin_dir: &Path) -> Result<Launch> {
        let component = Component::from(service);
        Ok(Launch {
            component,
            program: binary(bin_dir, &service.binary())?,
            args: vec!["serve".to_owned()],
            env: self.environment(service),
            cwd: self.layout.root().to_owned(),
            run_as: None,
            files: Vec::new(),
            log: self.layout.log(component),
            port: self.ports.port(component),
        })
    }

    pub(crate) fn psp_launch(&self, bin_dir: &Path) -> Result<Launch> {
        let component = Component::PspSandbox;
        let port = self.ports.port(component);
        // As the real provider would: by the public address.
        let webhook = format!("{}/v1/payments/webhook", self.url(Service::Gateway.into()));
        let args = [
            ("--host", "127.0.0.1".to_owned()),
            ("--port", port.to_string()),
            ("--data-dir", path_text(&self.layout.psp())),
            ("--webhook-url", webhook),
            ("--publishable-key", PSP_PUBLISHABLE_KEY.to_owned()),
        ];
        let mut env = inherited();
        // Not as arguments, which everybody on the machine can list.
        env.insert("PSP_API_KEY".to_owned(), self.secrets.psp_api_key.clone());
        env.insert(
            "PSP_WEBHOOK_SECRET".to_owned(),
            self.secrets.psp_webhook_secret.clone(),
        );
        Ok(Launch {
            component,
            program: binary(bin_dir, "ferrocart-psp-sandbox")?,
            args: args
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            env,
            cwd: self.layout.root().to_owned(),
            run_as: None,
            files: Vec::new(),
            log: self.layout.log(component),
            port,
        })
    }
}

fn inherited() -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for name in [
        "PATH",
        "HOME",
        "TMPDIR",
        "RUST_BACKTRACE",
        "RUST_LOG",
        "LOG_LEVEL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        if let Some(value) = std::env::var_os(name) {
            environment.insert(name.to_owned(), value.to_string_lossy().into_owned());
        }
    }
    environment
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

fn binary(bin_dir: &Path, name: &str) -> Result<PathBuf> {
    let path = bin_dir.join(name);
    if !tools::is_executable(&path) {
        bail!(
            "{} is not built (`cargo build --workspace --bins` builds it)",
            path.display()
        );
    }
    Ok(path)
}
