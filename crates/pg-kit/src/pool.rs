use std::str::FromStr;
use std::time::{Duration, Instant};

use ferrocart_config::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::error::is_unavailable;

static KIT_MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The kit's own tables are versioned apart from the service's.
const KIT_TABLE: &str = "_ferrocart_kit_migrations";

/// How long a database is waited for at the start.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(30);
const MIGRATE_PAUSE: Duration = Duration::from_millis(200);

/// How a service reaches its database; part of the service's settings.
#[derive(Debug, Clone, Deserialize)]
pub struct PgSettings {
    /// `postgres://role:password@host:port/database`
    pub database_url: SecretString,
    pub database_pool_max: u32,
    /// How long a request waits for a connection before it is answered 503.
    pub database_acquire_timeout_ms: u64,
    /// After this PostgreSQL cancels a statement.
    pub database_statement_timeout_ms: u64,
}

/// A pool that connects when it is first used: a service starts, and says that it is not ready, while
/// its database is still away.
pub fn connect(settings: &PgSettings, service: &str) -> Result<PgPool, sqlx::Error> {
    let options = options(settings, service)?;
    Ok(pool(settings, settings.database_pool_max)
        // A dead connection shows at its next use; asking first would cost every request a round trip.
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

/// A pool for statements that take many rows as arrays and find theirs by key. They are planned once and for
/// good: a plan that was made while a table was small must not read all of it later.
pub fn connect_for_batches(
    settings: &PgSettings,
    service: &str,
    connections: u32,
) -> Result<PgPool, sqlx::Error> {
    let options = options(settings, service)?.options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    Ok(pool(settings, connections)
        // Opened ahead: a batch that waits in vain for a connection fails for all in it.
        .min_connections(connections)
        // A batch is worth it: on a dead connection all of it would fail.
        .test_before_acquire(true)
        .connect_lazy_with(options))
}

fn options(settings: &PgSettings, service: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let statement_timeout = settings.database_statement_timeout_ms.to_string();
    Ok(PgConnectOptions::from_str(settings.database_url.expose_secret())?
        .application_name(&format!("ferrocart-{service}"))
        .options([
            ("statement_timeout", statement_timeout.as_str()),
            // Statements here touch few rows. A plan whose cost is overrated would be compiled for longer than it runs.
            ("jit", "off"),
        ]))
}

fn pool(settings: &PgSettings, connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(settings.database_acquire_timeout_ms))
}

/// Brings the kit's tables and then the service's own to their newest version. Safe to run from
/// several replicas at once. A database that is just starting, or too busy to let anybody in, is waited for.
pub async fn migrate(pool: &PgPool, service: &Migrator) -> Result<(), MigrateError> {
    let mut kit = Migrator::with_migrations(KIT_MIGRATOR.iter().cloned().collect());
    kit.dangerous_set_table_name(KIT_TABLE);
    // A connection of its own: those of the pool end a statement after the time that a request may take, and a
    // table may take longer to be rebuilt.
    let options = (*pool.connect_options())
        .clone()
        .options([("statement_timeout", "0")]);
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(MIGRATE_PATIENCE)
        .connect_lazy_with(options);
    kit.run(&own).await?;
    service.run(&own).await?;
    own.close().await;
    open_first(pool).await.map_err(MigrateError::Execute)
}

/// The pool waits for a connection as long as a request may. On a busy machine the first one takes longer; what a
/// service asks at its start then finds it open.
async fn open_first(pool: &PgPool) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    loop {
        match ping(pool).await {
            Err(error) if is_unavailable(&error) && begun.elapsed() < MIGRATE_PATIENCE => {
                tokio::time::sleep(MIGRATE_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether the database answers; for readiness.
pub async fn ping(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1").execute(pool).await.map(|_| ())
}
