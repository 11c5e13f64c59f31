use std::sync::OnceLock;

use ferrocart_config::SecretString;
use ferrocart_contracts::Event;
use ferrocart_http_kit::HttpSettings;
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_pg_kit::PgSettings;
use ferrocart_redis_kit::RedisSettings;
use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_telemetry::{TelemetryGuard, TelemetrySettings};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::events::EventLog;
use crate::keys::{TestKeys, fresh_uuid};

/// All that one test needs, apart from every other test.
#[derive(Debug)]
pub struct TestEnv {
    pub keys: TestKeys,
    pub pg: PgSettings,
    pub redis: RedisSettings,
    pub kafka: KafkaSettings,
    service: &'static str,
}

impl TestEnv {
    /// A new database with a role of its own, a Redis database, topics and keys.
    pub async fn new(service: &'static str) -> Self {
        Self {
            keys: TestKeys::generate(),
            pg: new_database(service).await,
            redis: new_redis(service).await,
            kafka: KafkaSettings {
                kafka_brokers: variable("FERROCART_TEST_KAFKA_BROKERS"),
                kafka_topic_prefix: format!("t{}.", fresh_uuid().simple()),
                // More than one, so that order across keys is not there by accident; few, because each
                // partition costs the broker open files and there are many tests.
                kafka_partitions: 2,
            },
            service,
        }
    }

    pub fn auth(&self) -> ferrocart_http_kit::AuthSettings {
        self.keys.auth(self.service)
    }

    /// A free port on the loopback interface.
    pub fn http(&self) -> HttpSettings {
        HttpSettings {
            host: "127.0.0.1".to_owned(),
            port: 0,
            http_workers: 2,
            body_bytes_max: 256 * 1024,
            shutdown_grace_ms: 2_000,
        }
    }

    /// Quiet unless `TEST_LOG` names a filter, such as `debug`. Telemetry itself runs already: a service
    /// under test answers with trace ids as it does in production.
    pub fn telemetry(&self) -> TelemetrySettings {
        telemetry_settings()
    }

    /// Reads a topic of this test from its beginning.
    pub fn events(&self, topic: ferrocart_contracts::Topic) -> EventLog {
        EventLog::open(&self.kafka, topic)
    }

    /// Publishes an event as its service would; answers its id.
    pub async fn publish<E: Event>(&self, source: &str, event: &E) -> ferrocart_types::EventId {
        crate::events::publish(&self.kafka, source, event).await
    }
}

/// Starts telemetry once for the whole test binary.
pub(crate) fn start_telemetry() {
    static GUARD: OnceLock<TelemetryGuard> = OnceLock::new();
    GUARD.get_or_init(|| ferrocart_telemetry::init("test", &telemetry_settings()).expect("telemetry"));
}

fn telemetry_settings() -> TelemetrySettings {
    TelemetrySettings {
        log_level: optional("TEST_LOG").unwrap_or_else(|| "off".to_owned()),
        otel_exporter_otlp_endpoint: String::new(),
    }
}

pub(crate) fn admin_url() -> String {
    variable("FERROCART_TEST_POSTGRES_ADMIN_URL")
}

async fn new_database(service: &str) -> PgSettings {
    let admin_url = admin_url();
    let mut admin = PgConnection::connect(&admin_url)
        .await
        .expect("the test PostgreSQL");
    let name = format!("t_{service}_{}", fresh_uuid().simple());
    let password = fresh_uuid().simple().to_string();
    // Names and password are made here of letters and digits; they cannot be bound in DDL.
    for statement in [
        format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .expect("a database for the test");
    }
    let mut url: reqwest::Url = admin_url.parse().expect("a URL");
    url.set_username(&name).expect("a user name");
    url.set_password(Some(&password)).expect("a password");
    url.set_path(&name);
    // Only what says where the server is; not, for example, the administrator's options.
    url.set_query(None);
    PgSettings {
        database_url: SecretString::from(url.to_string()),
        database_pool_max: 10,
        database_acquire_timeout_ms: 5_000,
        database_statement_timeout_ms: 10_000,
    }
}

async fn new_redis(service: &str) -> RedisSettings {
    let url = variable(match service {
        "cart" => "FERROCART_TEST_REDIS_CART_URL",
        _ => "FERROCART_TEST_REDIS_URL",
    });
    let client = redis::Client::open(url.as_str()).expect("a Redis URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("the test Redis");
    let (_, databases): (String, u64) = redis::cmd("CONFIG")
        .arg(&["GET", "databases"])
        .query_async(&mut connection)
        .await
        .expect("CONFIG GET databases");
    let turn: u64 = redis::cmd("INCR")
        .arg("test-kit:turn")
        .query_async(&mut connection)
        .await
        .expect("INCR");
    // Database 0 holds the counter. Keys carry ids, so two tests in one database do no harm.
    let database = 1 + turn % (databases - 1);
    let mut url: reqwest::Url = url.parse().expect("a URL");
    url.set_path(&database.to_string());
    RedisSettings {
        redis_url: url.to_string(),
        redis_pool_max: 8,
        redis_timeout_ms: 1_000,
    }
}

fn variable(name: &str) -> String {
    optional(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set: tests need the stores. Run `make test`, or for one package \
             `cargo run -p ferrocart-stack -- test-env -- cargo test -p <package>`"
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings file")]
fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
