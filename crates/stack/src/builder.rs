//! How a stack is described before it is started.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::component::{Component, Components, Service};
use crate::keys::Secrets;
use crate::layout::Layout;
use crate::os;
use crate::ports::{PortSlot, Ports};
use crate::process::{Lifetime, Running};
use crate::progress::{Progress, Silent};
use crate::stack::Stack;
use crate::state::{ProcessId, State};
use crate::sweep;

/// Engines that exist already: the stack uses them and starts none of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// The URL of a role that may create databases and roles.
    pub postgres_admin: Option<String>,
    pub redis: Option<String>,
    /// Absent: the other one has the carts as well.
    pub redis_cart: Option<String>,
    pub kafka_brokers: Option<String>,
}

impl External {
    fn provides(&self, component: Component) -> bool {
        match component {
            Component::Postgres => self.postgres_admin.is_some(),
            Component::Redis => self.redis.is_some(),
            Component::RedisCart => self.redis_cart.is_some() || self.redis.is_some(),
            Component::Kafka => self.kafka_brokers.is_some(),
            Component::PspSandbox | Component::Service(_) => false,
        }
    }
}

/// Made by [`Stack::builder`]. Without further ado: all components, on free ports, in a temporary folder,
/// ending with the caller.
pub struct Builder {
    folder: Option<PathBuf>,
    ports: Ports,
    components: Components,
    bin_dir: Option<PathBuf>,
    external: External,
    extra_env: BTreeMap<Service, BTreeMap<String, String>>,
    lifetime: Lifetime,
    progress: Arc<dyn Progress>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            folder: None,
            ports: Ports::Free,
            components: Components::All,
            bin_dir: None,
            external: External::default(),
            extra_env: BTreeMap::new(),
            lifetime: Lifetime::Owned,
            progress: Arc::new(Silent),
        }
    }
}

impl Builder {
    /// Keeps everything in this folder, which then outlives the stack: the next one started in it finds its data.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    #[must_use]
    pub fn components(mut self, components: Components) -> Self {
        self.components = components;
        self
    }

    /// The folder of the binaries. Without it: the one that holds this very program, or for a test the one
    /// above.
    #[must_use]
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(folder.into());
        self
    }

    #[must_use]
    pub fn external(mut self, external: External) -> Self {
        self.external = external;
        self
    }

    /// One more setting for a service, or another value for one that it would get.
    #[must_use]
    pub fn env(mut self, service: Service, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra_env
            .entry(service)
            .or_default()
            .insert(name.into(), value.into());
        self
    }

    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// The processes outlive the caller, and a later start in the same folder finds them.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.lifetime = Lifetime::Detached;
        self
    }

    /// Starts what does not run yet and waits until all of it is ready.
    pub async fn start(self) -> Result<Stack> {
        let components: Vec<Component> = self
            .components
            .list()
            .into_iter()
            .filter(|component| !self.external.provides(*component))
            .collect();
        let stack = self.prepare()?;
        // When this fails, dropping the stack ends what was started, unless it is to outlive us: then the
        // next start goes on from there.
        stack.bring_up(&components).await?;
        Ok(stack)
    }

    fn prepare(self) -> Result<Stack> {
        let is_temporary = self.folder.is_none();
        let root = match self.folder {
            Some(folder) => folder,
            None => sweep::new_temporary_folder()?,
        };
        let layout = Layout::create(&root)?;
        let lock = lock_folder(&layout)?;
        let secrets = Secrets::load_or_create(&layout)?;
        let (slot, ports) = match self.ports {
            Ports::Fixed(plan) => (None, plan),
            Ports::Free => PortSlot::take().map(|(slot, plan)| (Some(slot), plan))?,
        };
        let bin_dir = self.bin_dir.or_else(default_bin_dir);
        // Absolute, because the processes run in the stack's folder.
        let bin_dir = bin_dir
            .map(|folder| {
                folder
                    .canonicalize()
                    .with_context(|| format!("find {}", folder.display()))
            })
            .transpose()?;
        let mut state = State::load(&layout)?.unwrap_or_else(|| State::new(&secrets.stack_id));
        state.owner = match self.lifetime {
            Lifetime::Owned => Some(own_id()?),
            Lifetime::Detached => None,
        };
        state.bin_dir.clone_from(&bin_dir);
        state.save(&layout)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .build()
            .context("make an HTTP client")?;
        let stack = Stack {
            running: Mutex::new(adopt(&state)),
            layout,
            secrets,
            ports,
            lifetime: self.lifetime,
            is_temporary,
            external: self.external,
            bin_dir,
            extra_env: self.extra_env,
            progress: self.progress,
            http,
            state: Mutex::new(state),
            _slot: slot,
            _lock: lock,
        };
        stack.record_external_urls()?;
        Ok(stack)
    }
}

impl Stack {
    fn record_external_urls(&self) -> Result<()> {
        let external: Vec<Component> = Component::STORES
            .into_iter()
            .filter(|component| self.external.provides(*component))
            .collect();
        self.change_state(|state| {
            for component in external {
                state
                    .urls
                    .insert(component.name().to_owned(), self.url(component));
            }
        })
    }
}

/// The processes that an earlier command left running.
pub(crate) fn adopt(state: &State) -> BTreeMap<Component, Running> {
    let mut running = BTreeMap::new();
    for (name, record) in &state.processes {
        if let Some(component) = Component::named(name) {
            let mut process = Running::attach(record.id.clone());
            if process.is_alive() {
                running.insert(component, process);
            }
        }
    }
    running
}

pub(crate) fn lock_folder(layout: &Layout) -> Result<File> {
    let path = layout.lock();
    let lock = File::create(&path).with_context(|| format!("open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another command is at work on the stack in {}",
                layout.root().display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

fn own_id() -> Result<ProcessId> {
    let pid = i32::try_from(std::process::id()).context("a process id past 31 bits")?;
    let identity = os::identity(pid).context("this process is not in the process table")?;
    Ok(ProcessId { pid, identity })
}

fn default_bin_dir() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("FERROCART_TEST_BIN_DIR") {
        return Some(PathBuf::from(given));
    }
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    // Tests lie in `target/<profile>/deps`, the binaries one above.
    if folder.file_name().is_some_and(|name| name == "deps") {
        return folder.parent().map(Path::to_owned);
    }
    Some(folder.to_owned())
}
