//! A stack: the components on one machine that together are the platform.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::join_all;

use crate::builder::{Builder, External};
use crate::component::{Component, Service};
use crate::keys::{Account, Secrets};
use crate::layout::Layout;
use crate::ports::{PortPlan, PortSlot};
use crate::process::{Launch, Lifetime, Running};
use crate::progress::Progress;
use crate::service::Surroundings;
use crate::state::{ProcessRecord, State};
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

    pub(crate) fn redis_password(&self) -> &str {
        &self.secrets.redis
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
            kafka_brokers: &self.kafka_brokers(),
            database_urls: &database_urls,
        })
    }

    fn launch(&self, component: Component) -> Result<Launch> {
        let port = self.ports.port(component);
        let bin_dir = || self.bin_dir.clone().context("no folder of binaries was given");
        match component {
            Component::Postgres => {
                let cluster = postgres::Cluster::locate(&self.layout, &self.secrets.stack_id)?;
                Ok(cluster.launch(&self.layout, port))
            }
            Component::Redis => redis::launch(&self.layout, port, &self.secrets.redis),
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

    pub(crate) fn is_alive(&self, component: Component) -> bool {
        locked(&self.running)
            .get_mut(&component)
            .is_some_and(Running::is_alive)
    }

    /// Lets `work` act on the component's process, if one was started.
    pub(crate) fn with_running<T>(
        &self,
        component: Component,
        work: impl FnOnce(&mut Running) -> Result<T>,
    ) -> Result<T> {
        let mut running = locked(&self.running);
        let process = running
            .get_mut(&component)
            .with_context(|| format!("{component} was not started"))?;
        work(process)
    }

    /// Starts what is to run, each as soon as what it needs is ready.
    pub(crate) async fn bring_up(&self, components: &[Component]) -> Result<()> {
        // Every missing program is reported before anything is started.
        let mut to_start = Vec::new();
        for component in components {
            if !self.runs_as_wanted(*component)? {
                to_start.push(*component);
            }
        }
        self.stop_outdated(&to_start).await?;
        self.ports.refuse_taken(&to_start)?;

        if self.external.postgres_admin.is_some() {
            self.ensure_databases().await?;
        }
        let services: Vec<Component> = components
            .iter()
            .copied()
            .filter(|c| matches!(c, Component::Service(_)))
            .collect();
        let stores: Vec<Component> = components
            .iter()
            .copied()
            .filter(|c| !matches!(c, Component::Service(_)))
            .collect();
        first_error(join_all(stores.iter().map(|component| self.ensure_started(*component))).await)?;
        first_error(join_all(services.iter().map(|component| self.ensure_started(*component))).await)
    }

    async fn ensure_databases(&self) -> Result<()> {
        let step = "databases and roles";
        let began = self.begin(step);
        let own_server = self.external.postgres_admin.is_none();
        postgres::ensure_databases(
            &self.postgres_admin_url(),
            &self.secrets.postgres_roles,
            own_server,
        )
        .await?;
        self.end(step, "ready", began);
        Ok(())
    }

    /// It lives and was started with exactly what it would be started with now.
    fn runs_as_wanted(&self, component: Component) -> Result<bool> {
        let digest = self.launch(component)?.digest()?;
        let recorded = locked(&self.state)
            .processes
            .get(component.name())
            .map(|record| record.digest.clone());
        Ok(self.is_alive(component) && recorded == Some(digest))
    }

    async fn stop_outdated(&self, components: &[Component]) -> Result<()> {
        let outdated: Vec<_> = components
            .iter()
            .filter(|component| self.is_alive(**component))
            .collect();
        let stop = |component: Component| async move {
            self.progress.note(&format!(
                "{component}: its program or settings have changed; restarting it"
            ));
            self.stop(component).await
        };
        first_error(join_all(outdated.into_iter().map(|component| stop(*component))).await)
    }

    async fn ensure_started(&self, component: Component) -> Result<()> {
        if self.is_alive(component) {
            self.wait_ready(component).await?;
            self.progress
                .end(component.name(), "runs already", Duration::ZERO);
        } else {
            let began = self.begin(component.name());
            self.prepare(component).await?;
            self.start(component).await?;
            self.end(
                component.name(),
                &format!("ready on port {}", self.port(component)),
                began,
            );
        }
        if component == Component::Postgres {
            self.ensure_databases().await?;
        }
        Ok(())
    }

    /// What has to be done before the very first start.
    async fn prepare(&self, component: Component) -> Result<()> {
        match component {
            Component::Postgres => {
                let cluster = postgres::Cluster::locate(&self.layout, &self.secrets.stack_id)?;
                if let Some(outside) = cluster.outside(&self.layout) {
                    self.change_state(|state| state.outside_folder = Some(outside))?;
                }
                if !cluster.is_initialized() {
                    cluster.initialize(&self.secrets.postgres_superuser).await?;
                }
            }
            Component::Kafka => {
                let node = kafka::Node::locate(&self.layout, &self.ports)?;
                if !node.is_formatted() {
                    node.format(&self.secrets.kafka_cluster_id).await?;
                }
            }
            Component::Redis | Component::PspSandbox | Component::Service(_) => {}
        }
        Ok(())
    }

    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(&self, component: Component) -> Result<()> {
        if self.is_alive(component) {
            bail!("{component} runs already");
        }
        let launch = self.launch(component)?;
        let record = |running: &Running| -> Result<ProcessRecord> {
            let (port, log) = (launch.port, launch.log.clone());
            Ok(ProcessRecord {
                id: running.id.clone(),
                port,
                log,
                digest: launch.digest()?,
            })
        };
        let running = launch.spawn(self.lifetime)?;
        let record = record(&running)?;
        locked(&self.running).insert(component, running);
        self.change_state(|state| {
            state.processes.insert(component.name().to_owned(), record);
            state
                .urls
                .insert(component.name().to_owned(), self.url(component));
        })?;
        self.wait_ready(component).await
    }

    /// Asks the process to end and waits for it; kills it when it takes too long.
    pub(crate) async fn stop(&self, component: Component) -> Result<()> {
        let taken = locked(&self.running).remove(&component);
        let Some(mut process) = taken else { return Ok(()) };
        let outcome = process.stop(component).await;
        if process.is_alive() {
            locked(&self.running).insert(component, process);
            return outcome;
        }
        self.change_state(|state| {
            state.processes.remove(component.name());
        })?;
        outcome
    }

    /// Stops everything in the order in which nobody misses anything: the gateway, the services, the stores.
    pub async fn down(&self) -> Result<()> {
        let running: Vec<Component> = locked(&self.running).keys().copied().collect();
        for wave in stop_waves(&running) {
            first_error(join_all(wave.into_iter().map(|component| self.stop(component))).await)?;
        }
        Ok(())
    }

    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = locked(&self.state);
        change(&mut state);
        state.save(&self.layout)
    }

    pub(crate) fn begin(&self, step: &str) -> Instant {
        self.progress.begin(step);
        Instant::now()
    }

    pub(crate) fn end(&self, step: &str, result: &str, began: Instant) {
        self.progress.end(step, result, began.elapsed());
    }

    /// Kills all processes at once, for a stack that is thrown away.
    fn discard(&self) {
        let mut running = locked(&self.running);
        // The later started first: a service that loses its store fills the log with complaints.
        for (component, process) in running.iter_mut().rev() {
            if let Err(error) = process.discard(*component) {
                eprintln!("ferrocart-stack: {component}: {error:#}");
            }
        }
        running.clear();
    }
}

/// The order in which components stop: those of one wave at once.
pub(crate) fn stop_waves(components: &[Component]) -> Vec<Vec<Component>> {
    let wave = |component: &Component| match component {
        Component::Service(Service::Gateway) => 0,
        Component::Service(_) => 1,
        Component::PspSandbox => 2,
        Component::Postgres | Component::Redis | Component::Kafka => 3,
    };
    (0..4)
        .map(|number| {
            components
                .iter()
                .copied()
                .filter(|component| wave(component) == number)
                .collect()
        })
        .collect()
}

pub(crate) fn first_error(outcomes: Vec<Result<()>>) -> Result<()> {
    outcomes.into_iter().collect()
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Detached {
            return;
        }
        self.discard();
        if !self.is_temporary {
            return;
        }
        if std::thread::panicking() {
            eprintln!(
                "ferrocart-stack: the logs of the stack are in {}",
                self.layout.logs().display()
            );
            return;
        }
        let outside = locked(&self.state).outside_folder.clone();
        for folder in outside.iter().map(PathBuf::as_path).chain([self.layout.root()]) {
            if let Err(error) = fs::remove_dir_all(folder) {
                eprintln!("ferrocart-stack: remove {}: {error}", folder.display());
            }
        }
    }
}
