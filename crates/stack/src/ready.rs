//! Waits until a component does its work.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use sqlx::Connection as _;
use tokio::net::TcpStream;

use crate::component::Component;
use crate::process::log_tail;
use crate::stack::Stack;
use crate::{kafka, postgres, redis};

/// How long one question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a component may take to become ready: recovery after a crash, migrations, a consumer that reads
/// its topics from the beginning, all on a machine that is busy compiling.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// How often a person is told what a component waits for.
const NOTE_EVERY: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(250);
const LOG_LINES: usize = 25;

impl Stack {
    /// Waits until the component answers as it should. Fails at once when its process dies.
    pub(crate) async fn wait_ready(&self, component: Component) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        let mut next_note = Instant::now() + NOTE_EVERY;
        let mut pause = PAUSE_MIN;
        loop {
            let outcome = match tokio::time::timeout(PROBE_TIMEOUT, self.probe(component)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow!("no answer within {PROBE_TIMEOUT:?}")),
            };
            let Err(error) = outcome else { return Ok(()) };
            let log = self.log_path(component);
            if !self.is_alive(component) {
                bail!(
                    "{component} ended while it started; the last lines of {}:\n{}",
                    log.display(),
                    log_tail(&log, LOG_LINES)
                );
            }
            if Instant::now() >= deadline {
                bail!(
                    "{component} is not ready after {READY_DEADLINE:?} ({error:#}); the last lines of {}:\n{}",
                    log.display(),
                    log_tail(&log, LOG_LINES)
                );
            }
            if Instant::now() >= next_note {
                self.progress
                    .note(&format!("{component} is not ready yet: {error:#}"));
                next_note += NOTE_EVERY;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }

    /// Asks once whether the component does its work.
    pub async fn probe(&self, component: impl Into<Component>) -> Result<()> {
        let component = component.into();
        let port = self.port(component);
        match component {
            Component::Postgres => {
                let connection = postgres::connect(&self.postgres_admin_url()).await?;
                connection
                    .close()
                    .await
                    .context("close the connection to PostgreSQL")
            }
            Component::Redis | Component::RedisCart => {
                redis::ping(port, self.redis_password(component)).await
            }
            Component::Kafka => kafka::ping(port).await,
            Component::PspSandbox => {
                TcpStream::connect(("127.0.0.1", port))
                    .await
                    .context("connect to the sandbox")?;
                Ok(())
            }
            Component::Service(_) => probe_service(self.http(), port).await,
        }
    }
}

pub(crate) async fn probe_service(http: &reqwest::Client, port: u16) -> Result<()> {
    let url = format!("http://127.0.0.1:{port}/health/ready");
    let answer = http
        .get(url)
        .timeout(PROBE_TIMEOUT)
        .send()
        .await
        .context("ask for its readiness")?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = answer.text().await.unwrap_or_default();
    bail!("{status} {}", body.trim())
}
