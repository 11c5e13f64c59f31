//! The benchmark's own child processes; they die with it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::load::Shape;
use crate::stats::Summary;

const START_DEADLINE: Duration = Duration::from_secs(10);
const CORE_TAIL: Duration = Duration::from_secs(30);

/// The HTTP references, running.
pub struct ReferenceServer {
    child: Child,
    pub address: SocketAddr,
}

impl ReferenceServer {
    pub async fn start(program: &Path, database_url: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("reference")
            .env("DATABASE_URL", database_url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the references")?;
        let output = child.stdout.take().context("the references' output")?;
        let mut line = String::new();
        let mut reader = BufReader::new(output);
        tokio::time::timeout(START_DEADLINE, reader.read_line(&mut line))
            .await
            .context("the references do not start")?
            .context("read the references' address")?;
        let address = line.trim().parse().context("the references' address")?;
        Ok(Self { child, address })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stop the references")
    }
}

/// Runs the core of the inventory service once, without HTTP.
pub async fn run_core(program: &Path, database_url: &str, sku: Uuid, shape: Shape) -> Result<Summary> {
    let child = Command::new(program)
        .env("DATABASE_URL", database_url)
        .args(["--sku", &sku.to_string()])
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
