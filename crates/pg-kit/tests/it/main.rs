//! Idempotency keys and transactions, against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use ferrocart_contracts::Envelope;
use ferrocart_contracts::v1::StockUpdated;
use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, migrate, outbox, run_tx};
use ferrocart_test_kit::TestEnv;
use ferrocart_types::{Clock, EventId, IdGen, MockClock, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use uuid::Uuid;

const LOCK: Duration = Duration::from_secs(30);

async fn database() -> (TestEnv, PgPool) {
    let env = TestEnv::new("order").await;
    let pool = ferrocart_pg_kit::connect(&env.pg, "kit").unwrap();
    migrate(&pool, &Migrator::DEFAULT).await.unwrap();
    (env, pool)
}

async fn claim(pool: &PgPool, key: &RequestKey, resource: Uuid, clock: &MockClock) -> Claim {
    run_tx::<_, StoreError, _>(pool, "claim", |conn| {
        let (key, now) = (key.clone(), clock.now());
        Box::pin(async move { idempotency::claim(conn, &key, resource, now, LOCK).await })
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_through_its_life() {
    let (_env, pool) = database().await;
    let clock = MockClock::at(SystemClock.now());
    let key = RequestKey::new("user:1", "k", &[b"POST", b"/v1/checkout", b"{}"]);
    let (first, second) = (SystemIds.next(), SystemIds.next());
    assert_eq!(claim(&pool, &key, first, &clock).await, Claim::Fresh);
    assert!(
        matches!(claim(&pool, &key, second, &clock).await, Claim::InProgress { resource_id, .. } if resource_id == first)
    );
    let other_body = RequestKey::new("user:1", "k", &[b"POST", b"/v1/checkout", b"{\"a\":1}"]);
    assert_eq!(claim(&pool, &other_body, second, &clock).await, Claim::Reused);
    let other_caller = RequestKey::new("user:2", "k", &[b"POST", b"/v1/checkout", b"{}"]);
    assert_eq!(claim(&pool, &other_caller, second, &clock).await, Claim::Fresh);

    // The worker died: once its lock is over the next one goes on with the same resource.
    clock.advance(TimeDelta::seconds(31));
    assert_eq!(
        claim(&pool, &key, second, &clock).await,
        Claim::Resume { resource_id: first }
    );

    let response = StoredResponse {
        status: 201,
        body: b"{\"order_id\":1}".to_vec(),
    };
    idempotency::complete(&mut pool.acquire().await.unwrap(), &key, &response)
        .await
        .unwrap();
    let replay = Claim::Replay {
        resource_id: first,
        response,
    };
    assert_eq!(claim(&pool, &key, second, &clock).await, replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_fresh() {
    let (_env, pool) = database().await;
    let clock = MockClock::at(SystemClock.now());
    let key = RequestKey::new("user:1", "k", &[b"body"]);
    let claims = (0..20).map(|_| {
        let (pool, key, clock) = (pool.clone(), key.clone(), clock.clone());
        ferrocart_telemetry::spawn("claim", async move {
            claim(&pool, &key, SystemIds.next(), &clock).await
        })
    });
    let mut fresh = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Claim::Fresh => fresh += 1,
            Claim::InProgress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fresh, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_nothing_behind() {
    let (_env, pool) = database().await;
    let clock = MockClock::at(SystemClock.now());
    let key = RequestKey::new("user:1", "k", &[b"body"]);
    let outcome: Result<(), StoreError> = run_tx(&pool, "fails", |conn| {
        let (key, now) = (key.clone(), clock.now());
        Box::pin(async move {
            idempotency::claim(conn, &key, SystemIds.next(), now, LOCK).await?;
            Err(StoreError::RowCount {
                operation: "test",
                expected: 1,
                actual: 0,
            })
        })
    })
    .await;
    assert!(outcome.is_err());
    assert_eq!(claim(&pool, &key, SystemIds.next(), &clock).await, Claim::Fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_run_again() {
    let (_env, pool) = database().await;
    sqlx::query("CREATE TABLE pair (id int PRIMARY KEY, n int NOT NULL)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO pair VALUES (1, 0), (2, 0)")
        .execute(&pool)
        .await
        .unwrap();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let both = [[1, 2], [2, 1]].map(|order| {
        let (pool, barrier) = (pool.clone(), barrier.clone());
        ferrocart_telemetry::spawn("pair", async move {
            let mut tries = 0;
            run_tx::<_, StoreError, _>(&pool, "pair", |conn| {
                tries += 1;
                let wait = (tries == 1).then(|| barrier.clone());
                Box::pin(async move {
                    bump(conn, order[0]).await?;
                    if let Some(barrier) = wait {
                        barrier.wait().await;
                    }
                    bump(conn, order[1]).await
                })
            })
            .await
            .unwrap();
        })
    });
    for task in both {
        task.await.unwrap();
    }
    let total: i64 = sqlx::query_scalar("SELECT sum(n) FROM pair")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(total, 4);
}

async fn bump(conn: &mut sqlx::PgConnection, id: i32) -> Result<(), StoreError> {
    sqlx::query("UPDATE pair SET n = n + 1 WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_events_come_back_as_they_were_and_in_order() {
    let (_env, pool) = database().await;
    let now = SystemClock.now().trunc_subsecs(6);
    let events: Vec<Envelope> = [("a", 1), ("b", 7), ("a", 2), ("a", 3)]
        .into_iter()
        .map(|(key, sequence)| {
            let event = StockUpdated {
                sku_id: key.to_owned(),
                version: sequence,
                ..StockUpdated::default()
            };
            let traceparent = (sequence != 2).then(|| format!("trace-{sequence}"));
            Envelope::new("inventory", EventId(SystemIds.next()), now, &event).with_traceparent(traceparent)
        })
        .collect();
    let mut conn = pool.acquire().await.unwrap();
    for row in outbox::pack(&events) {
        sqlx::query(
            "INSERT INTO outbox (topic, source, occurred_at, key, event_count, packed)
             VALUES ('inventory-events', '/ferrocart/inventory', $1, $2, $3, $4)",
        )
        .bind(now)
        .bind(row.key)
        .bind(row.count)
        .bind(row.bytes)
        .execute(&mut *conn)
        .await
        .unwrap();
    }
    assert_eq!(outbox::backlog(&mut conn).await.unwrap().0, 4);
    let found = outbox::oldest(&mut conn, 100).await.unwrap();
    let by_key = |key: &str| {
        events
            .iter()
            .filter(|event| event.subject == key)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(found.len(), 2);
    for row in &found {
        assert_eq!(row.envelopes, by_key(&row.key), "{}", row.key);
    }
    // As many rows as hold so many events, but at least one.
    for (events_max, rows) in [(1, 1), (3, 1), (4, 2)] {
        let found = outbox::oldest(&mut conn, events_max).await.unwrap();
        assert_eq!(found.len(), rows, "of {events_max} events");
    }
}
