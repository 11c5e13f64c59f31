//! The relay and the consumers, against a real broker and a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ferrocart_contracts::v1::StockUpdated;
use ferrocart_contracts::{Event, Topic};
use ferrocart_kafka_kit::{
    BatchHandler, Consumer, HandleError, Handler, Received, Relay, dead_letter_topic, ensure_topics,
};
use ferrocart_pg_kit::outbox::{self, Publisher};
use ferrocart_pg_kit::{StoreError, inbox, migrate, run_tx};
use ferrocart_test_kit::{TestEnv, eventually};
use ferrocart_types::{Clock, SystemClock, SystemIds};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Headers, Message};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

const TOPICS: &[Topic] = &[Topic::Inventory];

async fn database(env: &TestEnv) -> PgPool {
    let pool = ferrocart_pg_kit::connect(&env.pg, "kit").unwrap();
    migrate(&pool, &Migrator::DEFAULT).await.unwrap();
    pool
}

fn stock(sku: &str, version: i64) -> StockUpdated {
    StockUpdated {
        sku_id: sku.to_owned(),
        version,
        ..Default::default()
    }
}

async fn append(pool: &PgPool, events: Vec<StockUpdated>) {
    let publisher = Publisher::new("inventory", Arc::new(SystemClock), Arc::new(SystemIds));
    run_tx(pool, "append", |conn| {
        let events: Vec<_> = events.iter().map(|event| publisher.event(event)).collect();
        Box::pin(async move { outbox::append(conn, &events).await })
    })
    .await
    .unwrap();
}

async fn backlog(pool: &PgPool) -> i64 {
    outbox::backlog(&mut pool.acquire().await.unwrap())
        .await
        .unwrap()
        .0
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_publish_every_event_once_and_in_order_per_key() {
    let env = TestEnv::new("inventory").await;
    let pool = database(&env).await;
    ensure_topics(&env.kafka, None).await.unwrap();
    let cancel = CancellationToken::new();
    let relays: Vec<_> = (0..2)
        .map(|_| {
            let relay = Relay::new(pool.clone(), &env.kafka, "inventory");
            ferrocart_telemetry::spawn("relay", relay.run(cancel.clone()))
        })
        .collect();
    for version in 1..=50 {
        append(
            &pool,
            (0..5).map(|sku| stock(&format!("sku-{sku}"), version)).collect(),
        )
        .await;
    }
    eventually("an empty outbox", || async {
        (backlog(&pool).await == 0).then_some(())
    })
    .await;
    let mut log = env.events(Topic::Inventory);
    let events = log.until("250 events", |events| events.len() >= 250).await;
    assert_eq!(events.len(), 250, "events were published twice without a failure");
    for sku in 0..5 {
        let key = format!("sku-{sku}");
        let versions: Vec<i64> = events
            .iter()
            .filter(|event| event.subject == key)
            .map(|event| event.sequence)
            .collect();
        assert_eq!(versions, (1..=50).collect::<Vec<_>>(), "order of {key}");
    }
    cancel.cancel();
    for relay in relays {
        relay.await.unwrap().unwrap();
    }
}

/// Applies each event with an inbox; fails as told.
struct Applying {
    pool: PgPool,
    applied: Arc<Mutex<Vec<i64>>>,
    calls: Arc<AtomicU32>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl Handler for Applying {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(HandleError::Wait(anyhow::anyhow!("the database is away")));
        }
        let version = event
            .envelope
            .decode::<StockUpdated>()
            .map_err(|error| HandleError::Reject(error.into()))?
            .version;
        if version < 0 {
            return Err(HandleError::Reject(anyhow::anyhow!("a negative version")));
        }
        let id = event.envelope.id;
        let fresh = run_tx::<_, StoreError, _>(&self.pool, "apply", |conn| {
            Box::pin(inbox::record(conn, "kit", id, SystemClock.now()))
        })
        .await
        .map_err(|error| HandleError::Wait(error.into()))?;
        if fresh {
            self.applied.lock().unwrap().push(version);
        }
        Ok(())
    }
}

impl Applying {
    fn new(pool: &PgPool) -> Self {
        Self {
            pool: pool.clone(),
            applied: Arc::default(),
            calls: Arc::default(),
            away: Arc::default(),
        }
    }

    fn again(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            applied: self.applied.clone(),
            calls: self.calls.clone(),
            away: self.away.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_applied_once_however_often_it_is_read() {
    let env = TestEnv::new("inventory").await;
    let pool = database(&env).await;
    ensure_topics(&env.kafka, Some(("kit", TOPICS))).await.unwrap();
    let handler = Applying::new(&pool);
    for version in 1..=3 {
        env.publish("inventory", &stock("sku", version)).await;
    }
    // Two groups with one inbox name read the same events: a redelivery of each.
    for group in ["kit", "kit-again"] {
        let cancel = CancellationToken::new();
        let consumer = Consumer::new(&env.kafka, group, TOPICS).unwrap();
        let calls = handler.calls.load(Ordering::SeqCst);
        let task = ferrocart_telemetry::spawn("consumer", consumer.run(handler.again(), cancel.clone()));
        eventually("three calls", || async {
            (handler.calls.load(Ordering::SeqCst) >= calls + 3).then_some(())
        })
        .await;
        cancel.cancel();
        task.await.unwrap().unwrap();
    }
    assert_eq!(*handler.applied.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_event_becomes_a_dead_letter_and_the_partition_moves_on() {
    let env = TestEnv::new("inventory").await;
    let pool = database(&env).await;
    ensure_topics(&env.kafka, Some(("kit", TOPICS))).await.unwrap();
    let bad = env.publish("inventory", &stock("sku", -1)).await;
    env.publish("inventory", &stock("sku", 7)).await;
    let handler = Applying::new(&pool);
    let cancel = CancellationToken::new();
    let consumer = Consumer::new(&env.kafka, "kit", TOPICS).unwrap();
    let task = ferrocart_telemetry::spawn("consumer", consumer.run(handler.again(), cancel.clone()));
    eventually("the event after the poison", || async {
        (*handler.applied.lock().unwrap() == [7]).then_some(())
    })
    .await;
    let letters: StreamConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &env.kafka.kafka_brokers)
        .set("group.id", "letters")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    letters
        .subscribe(&[&dead_letter_topic(&env.kafka, Topic::Inventory, "kit")])
        .unwrap();
    let letter = tokio::time::timeout(Duration::from_secs(20), letters.recv())
        .await
        .unwrap()
        .unwrap();
    let header = |name: &str| {
        let headers = letter.headers().unwrap();
        let value = headers
            .iter()
            .find(|header| header.key == name)
            .unwrap()
            .value
            .unwrap();
        String::from_utf8(value.to_vec()).unwrap()
    };
    assert_eq!(header("ce_id"), bad.to_string());
    assert_eq!(header("ce_type"), StockUpdated::TYPE);
    assert_eq!(header("dlq_error"), "a negative version");
    assert_eq!(header("dlq_tries"), "3");
    assert_eq!(
        handler.calls.load(Ordering::SeqCst),
        4,
        "three tries and one success"
    );
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_a_dependency_that_is_away() {
    let env = TestEnv::new("inventory").await;
    let pool = database(&env).await;
    ensure_topics(&env.kafka, Some(("kit", TOPICS))).await.unwrap();
    env.publish("inventory", &stock("sku", 1)).await;
    let handler = Applying::new(&pool);
    handler.away.store(true, Ordering::SeqCst);
    let cancel = CancellationToken::new();
    let consumer = Consumer::new(&env.kafka, "kit", TOPICS).unwrap();
    let task = ferrocart_telemetry::spawn("consumer", consumer.run(handler.again(), cancel.clone()));
    // More tries than a rejected event would get.
    eventually("five tries", || async {
        (handler.calls.load(Ordering::SeqCst) >= 5).then_some(())
    })
    .await;
    assert!(handler.applied.lock().unwrap().is_empty());
    handler.away.store(false, Ordering::SeqCst);
    eventually("the event", || async {
        (*handler.applied.lock().unwrap() == [1]).then_some(())
    })
    .await;
    cancel.cancel();
    task.await.unwrap().unwrap();
}

/// Rejects any batch that holds a bad event, as an index that commits all or nothing would.
struct AllOrNothing(Arc<Mutex<Vec<i64>>>);

#[async_trait]
impl BatchHandler for AllOrNothing {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let versions: Vec<i64> = events
            .iter()
            .map(|event| event.envelope.decode::<StockUpdated>().unwrap().version)
            .collect();
        if versions.iter().any(|version| *version < 0) {
            return Err(HandleError::Reject(anyhow::anyhow!("a negative version")));
        }
        self.0.lock().unwrap().extend(versions);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_event_does_not_take_its_batch_along() {
    let env = TestEnv::new("inventory").await;
    ensure_topics(&env.kafka, Some(("kit", TOPICS))).await.unwrap();
    for version in [1, 2, -1, 3] {
        env.publish("inventory", &stock("sku", version)).await;
    }
    let applied = Arc::default();
    let cancel = CancellationToken::new();
    let consumer = Consumer::new(&env.kafka, "kit", TOPICS).unwrap();
    let handler = AllOrNothing(Arc::clone(&applied));
    let task = ferrocart_telemetry::spawn("consumer", consumer.run_batches(handler, 100, cancel.clone()));
    eventually("all good events", || async {
        (*applied.lock().unwrap() == [1, 2, 3]).then_some(())
    })
    .await;
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_tells_how_it_stands() {
    let env = TestEnv::new("inventory").await;
    let pool = database(&env).await;
    let mut connection = pool.acquire().await.unwrap();
    let empty = outbox::size(&mut connection).await.unwrap();
    assert_eq!((empty.events, empty.oldest_seconds), (0, 0.0));
    append(&pool, (1..=50).map(|version| stock("sku", version)).collect()).await;
    sqlx::query("UPDATE outbox SET occurred_at = occurred_at - interval '1 hour' WHERE id = (SELECT max(id) FROM outbox)")
        .execute(&mut *connection)
        .await
        .unwrap();
    let full = outbox::size(&mut connection).await.unwrap();
    assert_eq!(full.events, 50);
    assert!(full.oldest_seconds > 3_599.0, "{full:?}");
    assert!(full.table_bytes >= 8_192.0, "{full:?}");
}
