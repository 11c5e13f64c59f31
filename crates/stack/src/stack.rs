//! A stack: the components on one machine that together are the platform.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};

use crate::builder::{Builder, External};
use crate::component::{Component, Service};
use crate::keys::{Account, Secrets};
use crate::layout::Layout;
use crate::ports::{PortPlan, PortSlot};
use crate::process::{Launch, Lifetime, Running};
use crate::progress::Progress;
use crate::service::Surroundings;
use crate::state::State;
use crate::{kafka, postgres, redis};

/// The components of one folder. One that a test made ends with it: all its processes die when this value is
/// dropped, and at the latest with the process that holds it.
pub struct Stack {
    pub(crate) layout: Layout,
    pub(crate) secrets: Secrets,
    pub(crate) ports: PortPlan,
    pub(crate) lifetime: Lifetime,
    /// Removed with the stack.
    pub(crate) is_temporary: bool,
    pub(crate) external: External,
    pub(crate) bin_dir: Option<PathBuf>,
    pub(crate) extra_env: BTreeMap<Service, BTreeMap<String, String>>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) http: reqwest::Client,
    pub(crate) running: Mutex<BTreeMap<Component, Running>>,
    pub(crate) state: Mutex<State>,
    pub(crate) _slot: Option<PortSlot>,
    /// Keeps other commands out of the folder.
    pub(crate) _lock: File,
}

/// A panic elsewhere leaves these tables whole: each change is one insertion or removal.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stack {
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub fn folder(&self) -> &Path {
        self.layout.root()
    }

    /// Where the e-mails of the file transport are put.
    pub fn mail_dir(&self) -> PathBuf {
        self.layout.mail()
    }

    /// The file that lists the sample accounts: `[{"role", "email", "password"}]`.
    pub fn accounts_file(&self) -> PathBuf {
        self.layout.accounts()
    }

    pub fn accounts(&self) -> &[Account] {
        &self.secrets.accounts
    }

    pub fn log_path(&self, component: impl Into<Component>) -> PathBuf {
        self.layout.log(component.into())
    }

    pub fn port(&self, component: impl Into<Component>) -> u16 {
        self.ports.port(component.into())
    }

    /// Where clients reach the component. PostgreSQL's is the administrator's; see also [`Stack::database_url`].
    pub fn url(&self, component: impl Into<Component>) -> String {
        match component.into() {
            Component::Postgres => self.postgres_admin_url(),
            Component::Redis => self.redis_url(),
            Component::RedisCart => self.redis_cart_url(),
            Component::Kafka => self.kafka_brokers(),
            other => format!("http://127.0.0.1:{}", self.ports.port(other)),
        }
    }

    pub fn postgres_admin_url(&self) -> String {
        self.external.postgres_admin.clone().unwrap_or_else(|| {
            let port = self.ports.port(Component::Postgres);
            let (user, password) = (postgres::SUPERUSER, &self.secrets.postgres_superuser);
            format!("postgres://{user}:{password}@127.0.0.1:{port}/postgres")
        })
    }

    /// The service's own database, by its own role.
    pub fn database_url(&self, service: Service) -> Result<String> {
        let name = service
            .database()
            .with_context(|| format!("{service} has no database"))?;
        let password = self
            .secrets
            .postgres_roles
            .get(name)
            .context("secrets.json lacks a role")?;
        postgres::role_url(&self.postgres_admin_url(), name, password)
    }

    pub fn redis_url(&self) -> String {
        let own = || redis::url(self.ports.port(Component::Redis), &self.secrets.redis);
        self.external.redis.clone().unwrap_or_else(own)
    }

    /// Where the carts are.
    pub fn redis_cart_url(&self) -> String {
        let own = || redis::url(self.ports.port(Component::RedisCart), &self.secrets.redis_cart);
        let given = self.external.redis_cart.as_ref().or(self.external.redis.as_ref());
        given.cloned().unwrap_or_else(own)
    }

    pub fn kafka_brokers(&self) -> String {
        let own = || format!("127.0.0.1:{}", self.ports.port(Component::Kafka));
        self.external.kafka_brokers.clone().unwrap_or_else(own)
    }

    /// The settings with which the service is started, whether or not it runs.
    pub fn env_for(&self, service: Service) -> Result<BTreeMap<String, String>> {
        let mut env = self.with_surroundings(|surroundings| Ok(surroundings.environment(service)))?;
        if let Some(extra) = self.extra_env.get(&service) {
            env.extend(extra.clone());
        }
        Ok(env)
    }

    pub(crate) fn redis_password(&self, component: Component) -> &str {
        match component {
            Component::RedisCart => &self.secrets.redis_cart,
            _ => &self.secrets.redis,
        }
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn with_surroundings<T>(&self, make: impl FnOnce(&Surroundings<'_>) -> Result<T>) -> Result<T> {
        let mut database_urls = BTreeMap::new();
        for service in Service::ALL
            .into_iter()
            .filter(|service| service.database().is_some())
        {
            database_urls.insert(service, self.database_url(service)?);
        }
        make(&Surroundings {
            layout: &self.layout,
            ports: &self.ports,
            secrets: &self.secrets,
            redis_url: &self.redis_url(),
            redis_cart_url: &self.redis_cart_url(),
            kafka_brokers: &self.kafka_brokers(),
            database_urls: &database_urls,
        })
    }

    pub(crate) fn launch(&self, component: Component) -> Result<Launch> {
        let port = self.ports.port(component);
        let bin_dir = || self.bin_dir.clone().context("no folder of binaries was given");
        match component {
            Component::Postgres => {
                let cluster = postgres::Cluster::locate(&self.layout, &self.secrets.stack_id)?;
                Ok(cluster.launch(&self.layout, port))
            }
            Component::Redis | Component::RedisCart => {
                redis::launch(&self.layout, component, port, self.redis_password(component))
            }
            Component::Kafka => {
                Ok(kafka::Node::locate(&self.layout, &self.ports)?.launch(&self.layout, port))
            }
            Component::PspSandbox => {
                let bin_dir = bin_dir()?;
                self.with_surroundings(|surroundings| surroundings.psp_launch(&bin_dir))
            }
            Component::Service(service) => {
                let bin_dir = bin_dir()?;
                let mut launch =
                    self.with_surroundings(|surroundings| surroundings.service_launch(service, &bin_dir))?;
                launch.env = self.env_for(service)?;
                Ok(launch)
            }
        }
    }
}
