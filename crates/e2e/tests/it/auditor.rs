//! The auditor, let loose on a platform on which promises were broken by hand in every store.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use ferrocart_audit::{KafkaTarget, Options, Provider, Silent, Target, audit};
use ferrocart_contracts::Topic;
use ferrocart_stack::{Component, Service};
use ferrocart_test_kit::eventually;
use ferrocart_types::SystemClock;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::platform::{ExpectOk, Platform, address, binaries, fresh};

const ROLE: &str = "fc_e2e_auditor";
const DATABASES: [&str; 4] = ["inventory", "orders", "payments", "catalog"];

#[tokio::test(flavor = "multi_thread")]
async fn planted_violations_are_found_by_a_role_that_may_only_read() {
    let platform = Platform::start().await;
    let sku = platform.product_with_stock("audited", 10).await;
    let orders = [buy(&platform, &sku).await, buy(&platform, &sku).await];
    let target = reader_of(&platform).await;
    let clean = eventually("a clean audit", || async {
        let kinds = kinds(&target).await;
        kinds.is_empty().then_some(kinds)
    });
    clean.await;
    assert_eq!(exit_of_program(&platform), Some(0));

    // Nobody is left who would repair it.
    for service in [Service::Order, Service::Payment, Service::Inventory] {
        platform.stack.process(service).stop().await.unwrap();
    }
    plant(&platform, &sku, &orders).await;
    let expected: BTreeSet<String> = [
        "AUTHORIZED_TWICE",
        "COUNTERS_DIFFER_FROM_LEDGER",
        "INTENT_OF_NO_ORDER",
        "NOT_PUBLISHED",
        "ORDER_NOT_PAID",
        "OVERSOLD",
        "SAGA_UNFINISHED",
        "UNKNOWN_INTENT",
        "UNREADABLE_EVENT",
    ]
    .map(ToOwned::to_owned)
    .into();
    // What changed in the last seconds is looked at again later.
    eventually("all planted violations", || async {
        let found = kinds(&target).await;
        expected.is_subset(&found).then_some(())
    })
    .await;
    assert_eq!(exit_of_program(&platform), Some(1));
}

async fn buy(platform: &Platform, sku: &str) -> String {
    let guest = platform.as_guest().await;
    let item = json!({ "sku_id": sku, "quantity": 1 });
    guest.post("/v1/cart/items", item).await.expect_ok();
    let body = json!({
        "payment_method": "pm_card_visa", "email": "guest@example.com", "shipping_address": address(),
    });
    let order = guest.post_once("/v1/checkout", &fresh(), &body).await.expect_ok();
    assert_eq!(order["status"], "CONFIRMED");
    order["order_id"].as_str().unwrap().to_owned()
}

async fn connect(platform: &Platform, database: &str) -> PgConnection {
    let admin: PgConnectOptions = platform.stack.postgres_admin_url().parse().unwrap();
    admin.database(database).connect().await.unwrap()
}

/// The stores by a role that has no right but SELECT.
async fn reader_of(platform: &Platform) -> Target {
    let create = format!("CREATE ROLE {ROLE} LOGIN PASSWORD 'only-reads'");
    run(platform, "postgres", create).await;
    for database in DATABASES {
        let grant = format!(
            "GRANT CONNECT ON DATABASE {database} TO {ROLE}; GRANT USAGE ON SCHEMA public TO {ROLE};
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}"
        );
        run(platform, database, grant).await;
    }
    let port = platform.stack.port(Component::Postgres);
    let url = |database: &str| format!("postgres://{ROLE}:only-reads@127.0.0.1:{port}/{database}").into();
    Target {
        inventory_url: url("inventory"),
        orders_url: url("orders"),
        payments_url: url("payments"),
        catalog_url: url("catalog"),
        kafka: KafkaTarget {
            brokers: platform.stack.kafka_brokers(),
            topic_prefix: String::new(),
        },
        provider: Provider {
            url: platform.stack.url(Component::PspSandbox),
            api_key: provider_key(platform).into(),
        },
    }
}

async fn run(platform: &Platform, database: &str, sql: String) {
    let mut connection = connect(platform, database).await;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
}

fn provider_key(platform: &Platform) -> String {
    platform.stack.env_for(Service::Payment).unwrap()["PSP_API_KEY"].clone()
}

/// The kinds of all violations; of an order or a SKU each with its history.
async fn kinds(target: &Target) -> BTreeSet<String> {
    let options = Options {
        grace: Duration::ZERO,
        ..Options::default()
    };
    let report = audit(target, &options, &SystemClock, &mut Silent).await.unwrap();
    for finding in &report.findings {
        let subject = finding.violation.subject.to_string();
        let told = report
            .findings
            .iter()
            .any(|other| other.violation.subject == finding.violation.subject && !other.history.is_empty());
        let has_history = subject.starts_with("order ") || subject.starts_with("SKU ");
        assert!(told || !has_history, "no history: {}", finding.violation);
    }
    let kinds = report.findings.iter().map(|finding| finding.violation.kind);
    kinds.map(ToOwned::to_owned).collect()
}

/// Each breaks a promise in another store, long enough ago to be judged.
async fn plant(platform: &Platform, sku: &str, orders: &[String; 2]) {
    let [unpaid, twice] = orders;
    let oversold = format!(
        "ALTER TABLE stock DROP CONSTRAINT stock_reserved_within_on_hand;
         UPDATE stock SET reserved = on_hand + 1, updated_at = now() - interval '1 hour' WHERE sku_id = '{sku}'"
    );
    run(platform, "inventory", oversold).await;
    let unpaid =
        format!("SET session_replication_role = replica; DELETE FROM payments WHERE order_id = '{unpaid}'");
    run(platform, "payments", unpaid).await;
    let unfinished = format!(
        "SET session_replication_role = replica;
         UPDATE sagas SET state = 'RUNNING', created_at = now() - interval '1 hour' WHERE order_id = '{twice}';
         INSERT INTO outbox (topic, key, event_id, event_type, source, occurred_at, sequence, payload)
         VALUES ('order-events', '{twice}', gen_random_uuid(), 'OrderConfirmed', 'order', now() - interval '1 hour', 9, '')"
    );
    run(platform, "orders", unfinished).await;
    authorize(platform, Some(twice)).await;
    authorize(platform, None).await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", platform.stack.kafka_brokers())
        .create()
        .unwrap();
    let nonsense = FutureRecord::to(Topic::Order.name())
        .key("nonsense")
        .payload("nonsense");
    producer.send(nonsense, Duration::from_secs(10)).await.unwrap();
}

/// Behind the platform's back.
async fn authorize(platform: &Platform, order_id: Option<&str>) {
    let mut form = vec![
        ("amount", "4200"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("payment_method_types[]", "card"),
        ("capture_method", "manual"),
        ("confirm", "true"),
    ];
    form.extend(order_id.map(|order_id| ("metadata[order_id]", order_id)));
    let url = format!("{}/v1/payment_intents", platform.stack.url(Component::PspSandbox));
    let answer = reqwest::Client::new()
        .post(url)
        .bearer_auth(provider_key(platform))
        .form(&form)
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
}

fn exit_of_program(platform: &Platform) -> Option<i32> {
    let output = Command::new(format!("{}/ferrocart-audit", binaries()))
        .args(["--grace-seconds", "0", "--stack"])
        .arg(platform.stack.folder())
        .output()
        .unwrap();
    output.status.code()
}
