//! What later commands do with the stack that an earlier one started in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::join_all;
use tokio::net::TcpStream;

use crate::builder::{adopt, lock_folder};
use crate::component::Component;
use crate::keys::Secrets;
use crate::layout::{Layout, remove_folder};
use crate::lifecycle::{first_error, stop_waves};
use crate::postgres::role_url;
use crate::progress::Progress;
use crate::ready::probe_service;
use crate::state::State;

/// What is known of a component that was started in a folder.
#[derive(Clone, Debug)]
pub struct ComponentStatus {
    pub component: Component,
    /// None when its process is gone.
    pub pid: Option<i32>,
    pub port: u16,
    pub url: String,
    pub log: PathBuf,
}

impl ComponentStatus {
    /// Asks whether it does its work: a service says so itself, of the others it is enough that they take
    /// connections.
    pub async fn probe(&self) -> Result<()> {
        let Component::Service(_) = self.component else {
            let connect = TcpStream::connect(("127.0.0.1", self.port));
            tokio::time::timeout(Duration::from_secs(2), connect)
                .await
                .context("no answer")?
                .context("connect")?;
            return Ok(());
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("make an HTTP client")?;
        probe_service(&http, self.port).await
    }
}

/// What was started in the folder, in the order of its start; empty when nothing was.
pub fn status(folder: &Path) -> Result<Vec<ComponentStatus>> {
    let Some((_, state)) = read(folder)? else {
        return Ok(Vec::new());
    };
    let alive = adopt(&state);
    let status = |component: Component| {
        let record = state.processes.get(component.name())?;
        Some(ComponentStatus {
            component,
            pid: alive.get(&component).map(|process| process.id.pid),
            port: record.port,
            url: state.urls.get(component.name()).cloned().unwrap_or_default(),
            log: record.log.clone(),
        })
    };
    Ok(Component::all().into_iter().filter_map(status).collect())
}

/// The addresses by component name, of those that were started and of engines given by URL.
pub fn urls(folder: &Path) -> Result<BTreeMap<String, String>> {
    Ok(read(folder)?.map(|(_, state)| state.urls).unwrap_or_default())
}

/// Where a tool that looks into the stores finds them.
#[derive(Clone)]
pub struct Stores {
    /// By database, reached by its service's own role.
    pub databases: BTreeMap<String, String>,
    pub kafka_brokers: String,
    pub psp_url: String,
    pub psp_api_key: String,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores")
            .field("kafka_brokers", &self.kafka_brokers)
            .field("psp_url", &self.psp_url)
            .finish_non_exhaustive()
    }
}

/// The stores of the stack that was started in the folder; none when nothing was.
pub fn stores(folder: &Path) -> Result<Option<Stores>> {
    let Some((layout, state)) = read(folder)? else {
        return Ok(None);
    };
    let secrets = Secrets::load(&layout)?.context("the folder has no secrets.json")?;
    let url = |component: Component| {
        let url = state.urls.get(component.name()).cloned();
        url.with_context(|| format!("{component} was not started in {}", folder.display()))
    };
    let admin_url = url(Component::Postgres)?;
    let mut databases = BTreeMap::new();
    for (role, password) in &secrets.postgres_roles {
        databases.insert(role.clone(), role_url(&admin_url, role, password)?);
    }
    Ok(Some(Stores {
        databases,
        kafka_brokers: url(Component::Kafka)?,
        psp_url: url(Component::PspSandbox)?,
        psp_api_key: secrets.psp_api_key,
    }))
}

/// Stops the processes that were started in the folder, and no others; its data stays. Answers how many there
/// were.
pub async fn down(folder: &Path, progress: &dyn Progress) -> Result<usize> {
    let Some((layout, _)) = read(folder)? else {
        return Ok(0);
    };
    let _lock = lock_folder(&layout)?;
    // Read again, now that nobody else writes it.
    let Some(mut state) = State::load(&layout)? else {
        return Ok(0);
    };
    let mut running = adopt(&state);
    let count = running.len();
    let components: Vec<Component> = running.keys().copied().collect();
    for wave in stop_waves(&components) {
        let members: Vec<_> = running
            .iter_mut()
            .filter(|(component, _)| wave.contains(component))
            .collect();
        let stops = members.into_iter().map(|(component, process)| async move {
            let began = Instant::now();
            progress.begin(component.name());
            process
                .stop(*component)
                .await
                .with_context(|| format!("stop {component}"))?;
            progress.end(component.name(), "stopped", began.elapsed());
            Ok(())
        });
        first_error(join_all(stops).await)?;
    }
    state.processes.clear();
    state.save(&layout)?;
    Ok(count)
}

/// Removes the folder of a stack that is down, with all its data.
pub fn wipe(folder: &Path) -> Result<()> {
    let Some((layout, state)) = read(folder)? else {
        return Ok(());
    };
    let _lock = lock_folder(&layout)?;
    for folder in state
        .outside_folder
        .iter()
        .map(PathBuf::as_path)
        .chain([layout.root()])
    {
        remove_folder(folder)?;
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Option<(Layout, State)>> {
    let Some(layout) = Layout::existing(folder)? else {
        return Ok(None);
    };
    Ok(State::load(&layout)?.map(|state| (layout, state)))
}
