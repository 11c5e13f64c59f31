//! Starting and ending a stack.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::{join_all, try_join_all};

use crate::component::{Component, Service};
use crate::layout::remove_folder;
use crate::process::{Lifetime, Running};
use crate::stack::{Stack, locked};
use crate::state::{ProcessRecord, State};
use crate::{kafka, postgres};

impl Stack {
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
        // All that is missing is reported, before anything is started.
        let mut to_start = Vec::new();
        let mut complaints = Vec::new();
        for component in components {
            match self.runs_as_wanted(*component) {
                Ok(true) => {}
                Ok(false) => to_start.push(*component),
                Err(error) => complaints.push(format!("{error:#}")),
            }
        }
        if !complaints.is_empty() {
            bail!("{}", complaints.join("\n"));
        }
        self.stop_outdated(&to_start).await?;
        self.ports.refuse_taken(&to_start)?;

        if self.external.postgres_admin.is_some() {
            self.ensure_databases().await?;
        }
        let (services, stores): (Vec<Component>, Vec<Component>) = components
            .iter()
            .copied()
            .partition(|component| matches!(component, Component::Service(_)));
        // The first failure ends the wait for the others.
        try_join_all(stores.into_iter().map(|component| self.ensure_started(component))).await?;
        try_join_all(
            services
                .into_iter()
                .map(|component| self.ensure_started(component)),
        )
        .await?;
        Ok(())
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
            Component::Redis | Component::RedisCart | Component::PspSandbox | Component::Service(_) => {}
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
        Component::Postgres | Component::Redis | Component::RedisCart | Component::Kafka => 3,
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
            if let Err(error) = remove_folder(folder) {
                eprintln!("ferrocart-stack: {error:#}");
            }
        }
    }
}
