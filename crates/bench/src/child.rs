//! The benchmark's own child processes; they die with it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::load::{Shape, Skus};
use crate::stats::Summary;

const START_DEADLINE: Duration = Duration::from_mins(1);
const START_POLL: Duration = Duration::from_millis(20);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const CORE_TAIL: Duration = Duration::from_secs(30);

/// A hidden command of this very program, in a process of its own, as the services are.
pub struct OwnCommand {
    child: Child,
    /// Kept open, for what it may still have to say.
    _errors: BufReader<ChildStderr>,
    /// Its first line on the standard error: where it listens.
    pub says: String,
}

impl OwnCommand {
    /// `env` is complete: nothing of our own environment is passed on.
    pub async fn start(name: &str, env: &BTreeMap<String, String>, log: Stdio) -> Result<Self> {
        let program = std::env::current_exe().context("this program's file")?;
        let mut child = Command::new(program)
            .arg(name)
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let mut errors = BufReader::new(child.stderr.take().context("a child's output")?);
        let mut line = String::new();
        tokio::time::timeout(START_DEADLINE, errors.read_line(&mut line))
            .await
            .with_context(|| format!("{name} does not start"))?
            .with_context(|| format!("read where {name} listens"))?;
        Ok(Self {
            child,
            _errors: errors,
            says: line.trim().to_owned(),
        })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stop a child")
    }
}

/// The HTTP references, running.
pub struct ReferenceServer {
    process: OwnCommand,
    pub echo: SocketAddr,
    pub naive: SocketAddr,
}

impl ReferenceServer {
    /// `env` is the inventory service's.
    pub async fn start(env: &BTreeMap<String, String>, log: &Path) -> Result<Self> {
        let process = OwnCommand::start("reference", env, log_file(log)?.into()).await?;
        let says = &process.says;
        let addresses = says.split_once(' ');
        let (echo, naive) = addresses.with_context(|| format!("the references say {says:?}"))?;
        Ok(Self {
            echo: echo.parse().context("the echo's address")?,
            naive: naive.parse().context("the naive design's address")?,
            process,
        })
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }
}

/// How one more process of a service is started.
pub struct ServiceStart {
    pub program: PathBuf,
    /// Complete: nothing of our own environment is passed on.
    pub env: BTreeMap<String, String>,
    pub port: u16,
    pub log: PathBuf,
}

/// One more process of a service.
pub struct ServiceProcess {
    child: Child,
    pub address: SocketAddr,
}

impl ServiceProcess {
    /// Starts it and waits until it is ready.
    pub async fn start(start: ServiceStart, http: &reqwest::Client) -> Result<Self> {
        let log = log_file(&start.log)?;
        let errors = log.try_clone().context("a log")?;
        let child = Command::new(&start.program)
            .arg("serve")
            .env_clear()
            .envs(&start.env)
            .env("PORT", start.port.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", start.program.display()))?;
        let mut process = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, start.port)),
        };
        let began = Instant::now();
        while !process.is_ready(http).await {
            let ended = process.child.try_wait().context("look at the service")?;
            if ended.is_some() || began.elapsed() > START_DEADLINE {
                bail!("the service does not start; its log is {}", start.log.display());
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(process)
    }

    async fn is_ready(&self, http: &reqwest::Client) -> bool {
        let url = format!("http://{}/health/ready", self.address);
        let answer = http.get(url).timeout(START_DEADLINE).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// As an orchestrator stops it: it ends what it has begun.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the service has ended by itself")?;
        let pid = i32::try_from(pid).context("a process id past 31 bits")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("stop the service")?;
        let status = tokio::time::timeout(STOP_DEADLINE, self.child.wait())
            .await
            .context("the service does not end")?
            .context("wait for the service")?;
        ensure!(status.success(), "the service ended with {status}");
        Ok(())
    }
}

/// Runs a service's `migrate` on a database.
pub async fn migrate(program: &Path, env: &BTreeMap<String, String>, log: &Path) -> Result<()> {
    let log_out = log_file(log)?;
    let errors = log_out.try_clone().context("a log")?;
    let status = Command::new(program)
        .arg("migrate")
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(log_out)
        .stderr(errors)
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(START_DEADLINE, status)
        .await
        .context("the migrations do not end")?
        .context("run the migrations")?;
    ensure!(status.success(), "the migrations failed; see {}", log.display());
    Ok(())
}

pub(crate) fn log_file(path: &Path) -> Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// Runs the core of the inventory service once, without HTTP.
pub async fn run_core(program: &Path, database_url: &str, skus: Skus, shape: Shape) -> Result<Summary> {
    let child = Command::new(program)
        .env("DATABASE_URL", database_url)
        .args(["--sku", &skus.first().to_string()])
        .args(["--skus", &skus.count().to_string()])
        .args(["--clients", &shape.clients.to_string()])
        .args(["--warm-up-ms", &shape.warm_up.as_millis().to_string()])
        .args(["--lasts-ms", &shape.lasts.as_millis().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let deadline = shape.warm_up + shape.lasts + CORE_TAIL;
    let output = tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .context("the core does not end")?
        .context("run the core")?;
    if !output.status.success() {
        bail!(
            "the core failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("the core's answer")
}
