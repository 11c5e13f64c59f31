//! Many events on their way from an outbox to an inbox, while the broker, the relays and the consumers are killed.

mod judge;
mod roles;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ferrocart_config::SecretString;
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use ferrocart_pg_kit::{PgSettings, connect, migrate};
use ferrocart_stack::{Component, Components, Service, Stack};
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::task::JoinHandle;

use self::judge::{counts, violations};
use self::roles::{CONSUMER, Crew, RELAY};
pub use self::roles::{Role, RoleOptions};
use self::writer::Writer;
use crate::report::Report;

const GROUP: &str = "events-under-test";
const TOPICS: &[Topic] = &[Topic::Inventory];
const PARTITIONS: i32 = 6;
const POLL: Duration = Duration::from_millis(100);
/// A consumer that was killed is missed for 10 s by its group, a broker takes some seconds to come up.
const STALLED_AFTER: Duration = Duration::from_mins(2);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What of the tables is not the kit's own.
const TABLES: &str = "
    CREATE TABLE aggregates (key text PRIMARY KEY, sequence bigint NOT NULL);
    -- Without any constraint: what is applied twice is to be seen, not refused.
    CREATE TABLE applied (
        id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        consumer text   NOT NULL,
        key      text   NOT NULL,
        sequence bigint NOT NULL
    );
    CREATE TABLE handed_over (events bigint NOT NULL, fresh bigint NOT NULL);";

/// Events, and how often something is killed meanwhile.
#[derive(Debug, Clone)]
pub struct Events {
    pub events: u64,
    pub kills: usize,
    pub seed: u64,
    /// The program that serves the roles: `ferrocart-chaos` itself.
    pub program: PathBuf,
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Broker,
    Relay,
    Consumer,
}

impl Victim {
    const ALL: [Self; 3] = [Self::Broker, Self::Relay, Self::Consumer];

    /// Each at least once, if there are enough.
    fn choose(kills: usize, chance: &mut ChaCha8Rng) -> Vec<Self> {
        let mut victims: Vec<Self> = Self::ALL.into_iter().take(kills).collect();
        while victims.len() < kills {
            victims.push(Self::ALL[chance.random_range(0..Self::ALL.len())]);
        }
        victims.shuffle(chance);
        victims
    }
}

/// What happens while the events are under way.
struct Drive {
    victims: Vec<Victim>,
    chance: ChaCha8Rng,
    writing: Option<JoinHandle<Result<()>>>,
}

impl Drive {
    /// Whether all is written.
    async fn has_written(&mut self) -> Result<bool> {
        match self.writing.take_if(|writing| writing.is_finished()) {
            Some(written) => written.await.context("the writer panicked")??,
            None if self.writing.is_some() => return Ok(false),
            None => {}
        }
        Ok(true)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.abort();
        }
    }
}

struct World {
    stack: Stack,
    pool: PgPool,
    kafka: KafkaSettings,
    crew: Crew,
}

impl Events {
    /// An error means that it could not be tried.
    pub async fn run(&self, mut say: impl FnMut(&str)) -> Result<Report> {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        let mut world = self.prepare().await?;
        say(&format!(
            "{} events through {} kills of broker, relays and consumers",
            self.events, self.kills
        ));
        let began = Instant::now();
        let progress = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(&world.pool, self.events, Arc::clone(&progress));
        let writing = ferrocart_telemetry::spawn("events-writer", writer.run(chance.random()));
        let drive = Drive {
            victims: Victim::choose(self.kills, &mut chance),
            chance,
            writing: Some(writing),
        };
        let stalled = self.drive(&mut world, &progress, drive, &mut say).await?;
        let mut found = violations(&world.pool).await?;
        found.extend(stalled);
        say(&format!(
            "{}, {} s",
            counts(&world.pool).await?,
            began.elapsed().as_secs()
        ));
        let mut report = Report::default();
        let what = format!("{} events through {} kills", self.events, self.kills);
        report.others.push((what, found));
        Ok(report)
    }

    async fn prepare(&self) -> Result<World> {
        let mut builder = Stack::builder().components(Components::Of(Component::STORES.to_vec()));
        if let Some(folder) = &self.folder {
            builder = builder.folder(folder);
        }
        let stack = builder.start().await.context("bring the stores up")?;
        let database_url = stack.database_url(Service::Inventory)?;
        let settings = PgSettings {
            database_url: SecretString::from(database_url.clone()),
            database_pool_max: 8,
            database_acquire_timeout_ms: 10_000,
            database_statement_timeout_ms: 30_000,
        };
        let pool = connect(&settings, "events").context("a pool")?;
        migrate(&pool, &Migrator::DEFAULT)
            .await
            .context("the kit's tables")?;
        sqlx::raw_sql(TABLES).execute(&pool).await.context("the tables")?;
        let kafka = KafkaSettings {
            kafka_brokers: stack.kafka_brokers(),
            kafka_topic_prefix: String::new(),
            kafka_partitions: PARTITIONS,
        };
        ensure_topics(&kafka, Some((GROUP, TOPICS))).await?;
        let crew = Crew::muster(&self.program, &database_url, &kafka, stack.folder())?;
        Ok(World {
            stack,
            pool,
            kafka,
            crew,
        })
    }

    /// Kills as the events get on, until all are applied and nothing comes again. Answers what it waited for in vain.
    async fn drive(
        &self,
        world: &mut World,
        progress: &AtomicU64,
        mut drive: Drive,
        say: &mut impl FnMut(&str),
    ) -> Result<Option<String>> {
        let share = self.events / (u64::try_from(self.kills)? + 1);
        let (mut due, mut said, mut moved) = (share, Instant::now(), Instant::now());
        loop {
            let applied = world.applied().await?;
            if applied > progress.swap(applied, Ordering::Relaxed) {
                moved = Instant::now();
            }
            if applied >= due
                && let Some(victim) = drive.victims.pop()
            {
                let who = world.kill(victim, &mut drive.chance).await?;
                say(&format!("  {applied} applied: {who} was killed"));
                due += share;
            }
            if drive.has_written().await? && drive.victims.is_empty() && world.is_done().await? {
                return Ok(None);
            }
            if moved.elapsed() > STALLED_AFTER {
                return Ok(Some(format!("nothing was applied for {STALLED_AFTER:?}")));
            }
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                say(&format!("  {applied} of {} events", self.events));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl World {
    async fn applied(&self) -> Result<u64> {
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM applied")
            .fetch_one(&self.pool)
            .await
            .context("how many events are applied")?;
        Ok(u64::try_from(applied)?)
    }

    /// At once started again; answers whom it was.
    async fn kill(&mut self, victim: Victim, chance: &mut ChaCha8Rng) -> Result<String> {
        match victim {
            Victim::Broker => {
                self.stack.process(Component::Kafka).kill9()?;
                self.stack.process(Component::Kafka).start().await?;
                Ok("the broker".to_owned())
            }
            Victim::Relay => {
                let leader = self.leading_relay().await?;
                self.crew.replace(&leader).await?;
                Ok(leader)
            }
            Victim::Consumer => {
                let name = format!("{CONSUMER}-{}", chance.random_range(0..2));
                self.crew.replace(&name).await?;
                Ok(name)
            }
        }
    }

    /// The one that holds the advisory lock.
    async fn leading_relay(&self) -> Result<String> {
        let began = Instant::now();
        loop {
            let leader: Option<String> = sqlx::query_scalar(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE locktype = 'advisory' AND granted AND starts_with(application_name, $1)",
            )
            .bind(format!("ferrocart-{RELAY}"))
            .fetch_optional(&self.pool)
            .await
            .context("who relays")?;
            if let Some(name) = leader.as_deref().and_then(|name| name.strip_prefix("ferrocart-")) {
                return Ok(name.to_owned());
            }
            if began.elapsed() > STALLED_AFTER {
                bail!("no relay leads");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Nothing waits in the outbox, and the group has applied all that the topic holds, whatever was published twice.
    async fn is_done(&self) -> Result<bool> {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
            .fetch_one(&self.pool)
            .await
            .context("what waits in the outbox")?;
        if waiting > 0 {
            return Ok(false);
        }
        let kafka = ferrocart_cli::read::Kafka {
            brokers: self.kafka.kafka_brokers.clone(),
            topic_prefix: self.kafka.kafka_topic_prefix.clone(),
        };
        let lags = tokio::task::spawn_blocking(move || ferrocart_cli::lag::lags(&kafka, Some(GROUP)))
            .await
            .context("the lag")?;
        // A broker that has just come up may not tell yet.
        Ok(lags.is_ok_and(|lags| !lags.is_empty() && lags.iter().all(|lag| lag.behind == 0)))
    }
}
