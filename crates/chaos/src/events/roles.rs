//! The relays and consumers: processes of this very program, to be killed.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use clap::Args;
use ferrocart_config::SecretString;
use ferrocart_kafka_kit::{BatchHandler, Consumer, HandleError, KafkaSettings, Received, Relay};
use ferrocart_pg_kit::{PgSettings, StoreError, StoreResultExt as _, connect, inbox, run_tx};
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{Clock as _, SystemClock};
use sqlx::{PgConnection, PgPool};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::{GROUP, PARTITIONS, TOPICS};

pub(super) const RELAY: &str = "relay";
pub(super) const CONSUMER: &str = "consumer";
const BATCH_MAX: usize = 200;

#[derive(Debug, Clone, Args)]
pub struct RoleOptions {
    #[arg(long)]
    name: String,
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
}

#[derive(Debug, Clone, Copy)]
pub enum Role {
    Relay,
    Consumer,
}

impl Role {
    /// Until it is killed.
    pub async fn play(self, options: RoleOptions) -> Result<()> {
        let telemetry = TelemetrySettings {
            log_level: "info".to_owned(),
            otel_exporter_otlp_endpoint: String::new(),
        };
        let _telemetry = ferrocart_telemetry::init("events", &telemetry)?;
        let settings = PgSettings {
            database_url: SecretString::from(options.database_url),
            database_pool_max: 4,
            database_acquire_timeout_ms: 10_000,
            database_statement_timeout_ms: 30_000,
        };
        let pool = connect(&settings, &options.name).context("a pool")?;
        let kafka = KafkaSettings {
            kafka_brokers: options.brokers,
            kafka_topic_prefix: String::new(),
            kafka_partitions: PARTITIONS,
        };
        let forever = CancellationToken::new();
        match self {
            Self::Relay => Relay::new(pool, &kafka, "inventory").run(forever).await,
            Self::Consumer => {
                let apply = Apply {
                    pool,
                    name: options.name.into(),
                };
                let consumer = Consumer::new(&kafka, GROUP, TOPICS)?;
                consumer.run_batches(apply, BATCH_MAX, forever).await
            }
        }
    }
}

struct Apply {
    pool: PgPool,
    name: Arc<str>,
}

#[async_trait]
impl BatchHandler for Apply {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        run_tx(&self.pool, "apply", |conn| {
            let (events, name) = (events.to_vec(), Arc::clone(&self.name));
            Box::pin(async move { apply(conn, &name, &events).await })
        })
        .await
        .map_err(|error: StoreError| HandleError::Wait(error.into()))
    }
}

/// As a service does: the inbox and the effect in one transaction.
async fn apply(conn: &mut PgConnection, name: &str, events: &[Received]) -> Result<(), StoreError> {
    let ids: Vec<_> = events.iter().map(|event| event.envelope.id).collect();
    let mut fresh = inbox::record_many(conn, GROUP, &ids, SystemClock.now()).await?;
    // An event that stands in the batch twice is taken once.
    let new: Vec<_> = events
        .iter()
        .map(|event| &event.envelope)
        .filter(|envelope| fresh.remove(&envelope.id))
        .collect();
    let keys: Vec<&str> = new.iter().map(|envelope| envelope.subject.as_str()).collect();
    let sequences: Vec<i64> = new.iter().map(|envelope| envelope.sequence).collect();
    sqlx::query(
        "INSERT INTO applied (consumer, key, sequence)
         SELECT $1, key, sequence FROM UNNEST($2::text[], $3::bigint[]) WITH ORDINALITY AS e (key, sequence, place)
         ORDER BY place",
    )
    .bind(name)
    .bind(keys)
    .bind(sequences)
    .execute(&mut *conn)
    .await
    .op("apply")?;
    sqlx::query("INSERT INTO handed_over (events, fresh) VALUES ($1, $2)")
        .bind(i64::try_from(events.len()).unwrap_or(i64::MAX))
        .bind(i64::try_from(new.len()).unwrap_or(i64::MAX))
        .execute(conn)
        .await
        .op("count")?;
    Ok(())
}

/// Two of each role.
pub(super) struct Crew {
    program: PathBuf,
    env: BTreeMap<&'static str, String>,
    log: PathBuf,
    members: HashMap<String, Child>,
}

impl Crew {
    pub(super) fn muster(
        program: &Path,
        database_url: &str,
        kafka: &KafkaSettings,
        folder: &Path,
    ) -> Result<Self> {
        let mut crew = Self {
            program: program.to_owned(),
            env: BTreeMap::from([
                ("DATABASE_URL", database_url.to_owned()),
                ("KAFKA_BROKERS", kafka.kafka_brokers.clone()),
            ]),
            log: folder.join("events.log"),
            members: HashMap::new(),
        };
        for role in [RELAY, CONSUMER] {
            for number in 0..2 {
                crew.start(&format!("{role}-{number}"))?;
            }
        }
        Ok(crew)
    }

    fn start(&mut self, name: &str) -> Result<()> {
        let role = name.split('-').next().unwrap_or_default();
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        let child = Command::new(&self.program)
            .arg(role)
            .args(["--name", name])
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the log")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.members.insert(name.to_owned(), child);
        Ok(())
    }

    /// `kill -9`, and another one in its place.
    pub(super) async fn replace(&mut self, name: &str) -> Result<()> {
        let member = self.members.get_mut(name).with_context(|| format!("no {name}"))?;
        member.kill().await.with_context(|| format!("kill {name}"))?;
        self.start(name)
    }
}
