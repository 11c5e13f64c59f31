//! The read path while real engines stand still, are killed, and come back.

use std::sync::Arc;

use ferrocart_test_kit::{Api, PostgresServer, RedisServer, TestEnv, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{CLOSED_REDIS, Catalog, category, id_of, product};

struct World {
    catalog: Catalog,
    postgres: PostgresServer,
    redis: RedisServer,
}

impl World {
    async fn start() -> Self {
        let (postgres, redis) = (PostgresServer::start().await, RedisServer::start().await);
        let catalog = Self::replica(Arc::new(TestEnv::new("catalog").await), &postgres, &redis).await;
        Self {
            catalog,
            postgres,
            redis,
        }
    }

    async fn replica(env: Arc<TestEnv>, postgres: &PostgresServer, redis: &RedisServer) -> Catalog {
        Catalog::start_in(env, |settings| {
            settings.pg = postgres.settings();
            settings.redis = redis.settings(200);
            settings.cache.cache_local_ttl_ms = 50;
            settings.cache.read_deadline_ms = 300;
        })
        .await
    }
}

async fn new_product(merchant: &Api, handle: &str) -> String {
    let created = merchant.post("/v1/products", product(handle, "shoes")).await;
    id_of(&created.expect(201).json)
}

async fn retitle(merchant: &Api, id: &str, title: &str) {
    let body = json!({ "title": title });
    merchant
        .send(Method::PATCH, &format!("/v1/products/{id}"), Some(&body), &[])
        .await
        .expect(200);
}

fn reads(id: &str) -> Vec<String> {
    vec![
        format!("/v1/products/{id}"),
        format!("/v1/products:batch?ids={id}"),
        "/v1/products".to_owned(),
        "/v1/products?category=shoes&brand=Alpina".to_owned(),
        format!("/v1/products/{id}/reviews"),
    ]
}

/// Every look at a category takes so many seconds, and is counted.
async fn slow_down(pool: &PgPool, seconds: &str) {
    let policy = format!(
        "CREATE POLICY slow ON categories USING (nextval('looks') > 0 AND pg_sleep({seconds}) IS NOT NULL)"
    );
    for statement in [
        "CREATE SEQUENCE looks",
        "ALTER TABLE categories ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE categories FORCE ROW LEVEL SECURITY",
        &policy,
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(pool)
            .await
            .unwrap();
    }
}

async fn looks(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM looks")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_served_as_stale_while_both_stores_stand_still() {
    let mut world = World::start().await;
    let merchant = world.catalog.merchant();
    category(&merchant, "shoes", None).await;
    let id = new_product(&merchant, "runner").await;
    let anyone = world.catalog.anonymous();
    let mut fresh: Vec<Value> = Vec::new();
    for path in reads(&id) {
        let answer = anyone.get(&path).await.expect(200);
        assert!(!answer.headers.contains_key("warning"), "{path}");
        fresh.push(answer.json);
    }
    for crash in [false, true] {
        if crash {
            world.postgres.crash();
            world.redis.kill();
        } else {
            world.postgres.pause();
            world.redis.pause();
        }
        for (path, fresh) in reads(&id).iter().zip(&fresh) {
            let stale = eventually("what is served is marked as stale", || async {
                let answer = anyone.get(path).await.expect(200);
                answer.headers.contains_key("warning").then_some(answer)
            })
            .await;
            assert_eq!(stale.json, *fresh, "{path}");
            assert!(stale.headers.contains_key("age"), "{path}");
        }
        let never_read = anyone.get("/v1/products?limit=7").await;
        never_read.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
        if crash {
            world.postgres.restart().await;
            world.redis.restart().await;
        } else {
            world.postgres.resume();
            world.redis.resume();
        }
        for path in reads(&id) {
            eventually("fresh answers are back", || async {
                let answer = anyone.get(&path).await.expect(200);
                (!answer.headers.contains_key("warning")).then_some(())
            })
            .await;
        }
    }
    world.catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_while_redis_stands_still_is_seen_everywhere_afterwards() {
    let world = World::start().await;
    let replica = World::replica(Arc::clone(&world.catalog.env), &world.postgres, &world.redis).await;
    let merchant = world.catalog.merchant();
    category(&merchant, "shoes", None).await;
    let id = new_product(&merchant, "runner").await;
    let path = format!("/v1/products/{id}");
    let (here, there) = (world.catalog.anonymous(), replica.anonymous());
    there.get(&path).await.expect(200);
    world.redis.pause();
    retitle(&merchant, &id, "Changed").await;
    let read = here.get(&path).await.expect(200);
    assert_eq!(read.json["title"], "Changed");
    assert!(
        !read.headers.contains_key("warning"),
        "PostgreSQL has confirmed it"
    );
    // Redis holds the old one; its consumer of our events puts that right.
    world.redis.resume();
    eventually("the other replica shows the change", || async {
        (there.get(&path).await.json["title"] == "Changed").then_some(())
    })
    .await;
    replica.stop().await;
    world.catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_no_such_product_is_remembered_and_forgotten_when_there_is() {
    let world = World::start().await;
    let merchant = world.catalog.merchant();
    category(&merchant, "shoes", None).await;
    let anyone = world.catalog.anonymous();
    let unknown = "01890000-0000-7000-8000-000000000001";
    let key = format!("product:{unknown}");
    for path in [
        format!("/v1/products/{unknown}"),
        format!("/v1/products:batch?ids={unknown}"),
    ] {
        world.redis.ask("DEL", &[&key]).await;
        eventually("redis holds that there is none", || async {
            anyone.get(&path).await;
            let held = world.redis.ask("HGET", &[&key, "version"]).await?;
            held.contains('0').then_some(())
        })
        .await;
    }
    // Told of a first version, as if that id had just been given to a product.
    let id = new_product(&merchant, "runner").await;
    let key = format!("product:{id}");
    world.redis.ask("HSET", &[&key, "version", "0", "body", ""]).await;
    let replica = World::replica(Arc::clone(&world.catalog.env), &world.postgres, &world.redis).await;
    eventually("the event of the first version is heeded", || async {
        let read = replica.anonymous().get(&format!("/v1/products/{id}")).await;
        (read.status.as_u16() == 200).then_some(())
    })
    .await;
    replica.stop().await;
    world.catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_asks_postgresql_once() {
    let env = Arc::new(TestEnv::new("catalog").await);
    let catalog = Catalog::start_in(env, |settings| {
        CLOSED_REDIS.clone_into(&mut settings.redis.redis_url);
        // Whoever comes late on a slow machine is no crowd.
        settings.cache.cache_local_ttl_ms = 60_000;
    })
    .await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(new_product(&merchant, &format!("runner-{n}")).await);
    }
    let pool = catalog.pool().await;
    slow_down(&pool, "0.3").await;
    let anyone = catalog.anonymous();
    let (first, rest) = (
        format!("/v1/products/{}", ids[0]),
        format!("/v1/products:batch?ids={},{}", ids[1], ids[2]),
    );
    futures::future::join_all((0..100).map(|_| anyone.get(&first))).await;
    assert_eq!(looks(&pool).await, 1, "for one product");
    futures::future::join_all((0..100).map(|_| anyone.get(&rest))).await;
    let looks = looks(&pool).await;
    assert!(looks <= 3, "for two in one statement: {looks}");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_asks_postgresql_and_neither_waits_for_the_dead() {
    const PRODUCTS: usize = 12;
    let env = Arc::new(TestEnv::new("catalog").await);
    let slow_redis = |settings: &mut ferrocart_catalog::Settings| {
        settings.redis.redis_timeout_ms = 5_000;
        settings.cache.read_deadline_ms = 10_000;
    };
    let catalog = Catalog::start_in(Arc::clone(&env), slow_redis).await;
    let replica = Catalog::start_in(Arc::clone(&env), slow_redis).await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut ids = Vec::new();
    for n in 0..PRODUCTS {
        ids.push(new_product(&merchant, &format!("runner-{n}")).await);
    }
    let pool = catalog.pool().await;
    slow_down(&pool, "0.1").await;
    let readers = [catalog.anonymous(), replica.anonymous()];
    for id in &ids {
        let path = format!("/v1/products/{id}");
        let (one, other) = tokio::join!(readers[0].get(&path), readers[1].get(&path));
        assert_eq!(one.expect(200).json, other.expect(200).json);
    }
    let looks = looks(&pool).await;
    // Each alone it would be twice as many; on a slow machine one may give up waiting now and then.
    let most = i64::try_from(PRODUCTS + PRODUCTS / 2).unwrap();
    assert!(looks <= most, "{looks} looks for {PRODUCTS} products");

    // A replica that died while it was reading keeps nobody: its claim is left behind.
    let orphan = new_product(&merchant, "orphan").await;
    let mut redis = ferrocart_redis_kit::deadpool_redis::redis::Client::open(env.redis.redis_url.as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    ferrocart_redis_kit::deadpool_redis::redis::cmd("SET")
        .arg(format!("product:{orphan}:reading"))
        .arg("1")
        .exec_async(&mut redis)
        .await
        .unwrap();
    readers[0]
        .get(&format!("/v1/products/{orphan}"))
        .await
        .expect(200);
    replica.stop().await;
    catalog.stop().await;
}
