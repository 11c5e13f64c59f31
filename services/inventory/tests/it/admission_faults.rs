//! Whatever happens to Redis, the sale goes on, no unit is oversold and none stays hidden.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrocart_test_kit::{Api, RedisCluster, RedisServer, eventually};
use ferrocart_types::SkuId;
use futures::stream::StreamExt;
use serde_json::Value;
use uuid::Uuid;

use crate::admission::ready;
use crate::harness::{Replica, Shop, default_batcher, fresh, hold_row, reserve_body, text};

/// A call to Redis takes no longer.
const TIMEOUT_MS: u64 = 200;
/// Buyers at the same time.
const AT_ONCE: usize = 24;
/// A buyer who asks while Redis is away gets an answer within this, on a machine that is busy too.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How a sale went.
#[derive(Default)]
struct Sale {
    granted: AtomicUsize,
    refused: AtomicUsize,
}

impl Sale {
    /// One buyer, one unit.
    async fn sell(&self, api: &Api, sku: Uuid) {
        let started = Instant::now();
        let answer = api
            .post("/v1/inventory/reserve", reserve_body(fresh(), &[(sku, 1)]))
            .await;
        match answer.status.as_u16() {
            201 => self.granted.fetch_add(1, Ordering::SeqCst),
            409 => self.refused.fetch_add(1, Ordering::SeqCst),
            _ => panic!("{answer:?}"),
        };
        let took = started.elapsed();
        assert!(took < ANSWER_MAX, "answered after {took:?}");
    }

    async fn rush(&self, apis: &[&Api], sku: Uuid, buyers: usize) {
        let rush = (0..buyers).map(|buyer| self.sell(apis[buyer % apis.len()], sku));
        futures::stream::iter(rush)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<()>>()
            .await;
    }

    fn granted(&self) -> usize {
        self.granted.load(Ordering::SeqCst)
    }

    async fn reaches(&self, units: usize) {
        eventually("units to be sold", async || {
            (self.granted() >= units).then_some(())
        })
        .await;
    }
}

async fn shop_with(redis: &RedisServer) -> Shop {
    let settings = redis.settings(TIMEOUT_MS);
    Shop::open_set(|all| all.redis = settings).await
}

/// After a fault that was healed: the counter is in order, and every unit that is left can be sold.
async fn sell_the_rest(shop: &Shop, replica: &Replica, sku: Uuid, sale: &Sale, units: usize) {
    ready(&shop.admission, sku).await;
    ready(&replica.admission, sku).await;
    shop.settled(sku).await;
    let available = shop.stock(sku).await["available"].as_u64();
    let left = available.and_then(|units| usize::try_from(units).ok());
    let left = left.expect("units that are left");
    assert_eq!(sale.granted() + left, units);
    for _ in 0..left {
        sale.sell(&replica.api, sku).await;
    }
    assert_eq!(sale.granted(), units, "a unit is hidden");
    shop.reserve(fresh(), &[(sku, 1)]).await.expect(409);
    shop.settled(sku).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sale_goes_on_without_redis_and_the_counter_is_built_anew_when_it_is_back() {
    let mut redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let replica = shop.replica().await;
    let sku = shop.governed(300, 4).await;
    ready(&replica.admission, sku).await;
    let sale = Sale::default();
    let apis = [&shop.api, &replica.api];
    let fault = async {
        sale.reaches(50).await;
        redis.kill();
        sale.reaches(120).await;
        redis.restart().await;
    };
    tokio::join!(sale.rush(&apis, sku, 200), fault);
    assert_eq!(
        sale.granted(),
        200,
        "nobody was turned away while there was enough"
    );
    sell_the_rest(&shop, &replica, sku, &sale, 300).await;
    // Now it is the counter that refuses.
    let held = hold_row(&shop.pool, sku).await;
    shop.reserve(fresh(), &[(sku, 1)]).await.expect(409);
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_hangs_is_left_alone_until_it_answers() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let replica = shop.replica().await;
    let sku = shop.governed(300, 4).await;
    ready(&replica.admission, sku).await;
    let sale = Sale::default();
    let apis = [&shop.api, &replica.api];
    let fault = async {
        sale.reaches(50).await;
        redis.pause();
        sale.reaches(120).await;
        eventually("the database to decide alone", async || {
            let status = shop.admission.status(SkuId(sku)).unwrap();
            (!status.ready).then_some(())
        })
        .await;
        redis.resume();
    };
    tokio::join!(sale.rush(&apis, sku, 200), fault);
    assert_eq!(
        sale.granted(),
        200,
        "nobody was turned away while there was enough"
    );
    sell_the_rest(&shop, &replica, sku, &sale, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flush_in_the_middle_of_a_sale_costs_nothing() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let replica = shop.replica().await;
    let sku = shop.governed(300, 4).await;
    ready(&replica.admission, sku).await;
    let sale = Sale::default();
    let apis = [&shop.api, &replica.api];
    let fault = async {
        for sold in [30, 60, 90, 120, 150] {
            sale.reaches(sold).await;
            redis.ask("FLUSHALL", &[]).await.unwrap();
        }
    };
    tokio::join!(sale.rush(&apis, sku, 200), fault);
    assert_eq!(
        sale.granted(),
        200,
        "nobody was turned away while there was enough"
    );
    sell_the_rest(&shop, &replica, sku, &sale, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_sells_out_exactly() {
    let cluster = RedisCluster::start().await;
    let settings = cluster.settings(1_000);
    let shop = Shop::open_set(|all| {
        all.redis = settings;
        all.admission.redis_cluster = true;
    })
    .await;
    let replica = shop.replica().await;
    let sku = shop.governed(100, 12).await;
    ready(&replica.admission, sku).await;
    let mut spread = 0;
    for node in &cluster.nodes {
        let keys = node.ask("KEYS", &["inventory:*"]).await.unwrap();
        spread += usize::from(keys.contains(&sku.to_string()));
    }
    assert_eq!(spread, 3, "every node has shards of the SKU");
    let sale = Sale::default();
    sale.rush(&[&shop.api, &replica.api], sku, 400).await;
    assert_eq!(sale.granted(), 100);
    shop.settled(sku).await;
    let reservation = shop.governed(1, 1).await;
    shop.reserved(&[(reservation, 1)]).await;
    shop.reserve(fresh(), &[(reservation, 1)]).await.expect(409);
    shop.audit().await;
}

/// The counter says more than there is: the database refuses, and the counter is put right by that alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_is_put_right() {
    let redis = RedisServer::start().await;
    let settings = redis.settings(TIMEOUT_MS);
    let shop = Shop::open_set(|all| {
        all.redis = settings;
        all.admission.admission_compare_ms = 60_000;
    })
    .await;
    let sku = shop.governed(10, 2).await;
    // Somebody who knows nothing of counters sells.
    let stranger = shop.batcher(&default_batcher());
    stranger
        .batcher
        .reserve(shop.ask(fresh(), &[(sku, 8)]))
        .await
        .unwrap();
    assert_eq!(shop.counter(sku).await["available"], 10);
    let other = shop.governed(5, 1).await;
    let refused = shop.reserve(fresh(), &[(sku, 3), (other, 1)]).await;
    refused.expect_problem(409, "INSUFFICIENT_STOCK");
    assert_eq!(shop.settled(sku).await["available"], 2);
    assert_eq!(
        shop.settled(other).await["available"],
        5,
        "its unit was given back"
    );
    shop.reserved(&[(sku, 2), (other, 1)]).await;
    shop.audit().await;
}

/// A lane that ends between taking units and selling them.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_a_dead_process_took_are_given_back() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let sku = shop.governed(5, 1).await;
    let own = shop.admitting_batcher();
    let held = hold_row(&shop.pool, sku).await;
    let buyer = own.submit(shop.ask(fresh(), &[(sku, 5)]));
    eventually("the units to be taken", async || {
        (shop.counter(sku).await["in_flight"] == 5).then_some(())
    })
    .await;
    own.kill();
    buyer.await.unwrap().unwrap_err();
    held.rollback().await.unwrap();
    // Either it was sold in the end or it is for sale again.
    let counter = shop.settled(sku).await;
    let stock = shop.stock(sku).await;
    assert_eq!(counter["available"], stock["available"]);
    shop.audit().await;
}

/// A buyer who wants more than there is holds up nobody, though the batch goes on for long.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_cannot_use_is_given_back_at_once() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let (sku, other) = (shop.governed(3, 2).await, shop.sku(9).await);
    let own = shop.admitting_batcher();
    let held = hold_row(&shop.pool, other).await;
    let long = own.submit(shop.ask(fresh(), &[(sku, 1), (other, 1)]));
    eventually("a unit to be taken", async || {
        (shop.counter(sku).await["in_flight"] == 1).then_some(())
    })
    .await;
    shop.reserve(fresh(), &[(sku, 3)]).await.expect(409);
    eventually("the other units to be given back", async || {
        (shop.counter(sku).await["available"] == 2).then_some(())
    })
    .await;
    shop.reserved(&[(sku, 2)]).await;
    held.rollback().await.unwrap();
    long.await.unwrap().unwrap();
    assert_eq!(shop.settled(sku).await["available"], 0);
    shop.audit().await;
}

fn key(sku: Uuid) -> String {
    format!("inventory:{{{sku}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_was_changed_past_the_service_is_repaired() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let sku = shop.governed(10, 1).await;
    let key = key(sku);
    for units in ["999", "0", "-4", "plenty"] {
        redis.ask("HSET", &[&key, "available", units]).await.unwrap();
        assert_eq!(shop.settled(sku).await["available"], 10, "after {units}");
    }
    redis.ask("DEL", &[&key]).await.unwrap();
    assert_eq!(shop.settled(sku).await["available"], 10);
    redis.ask("SET", &[&key, "7"]).await.unwrap();
    assert_eq!(shop.settled(sku).await["available"], 10);
    // A process that took three units and was killed.
    redis.ask("HINCRBY", &[&key, "available", "-3"]).await.unwrap();
    redis.ask("HSET", &[&key, "take:dead:0:1", "3"]).await.unwrap();
    assert_eq!(shop.counter(sku).await["in_flight"], 3);
    assert_eq!(shop.settled(sku).await["available"], 10);
    shop.reserved(&[(sku, 10)]).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hidden_units_are_found_under_load() {
    let redis = RedisServer::start().await;
    let shop = shop_with(&redis).await;
    let sku = shop.governed(100_000, 1).await;
    let sale = Sale::default();
    let stop = tokio_util::sync::CancellationToken::new();
    let load = async {
        while !stop.is_cancelled() {
            sale.rush(&[&shop.api], sku, 50).await;
        }
    };
    let fault = async {
        sale.reaches(200).await;
        redis.ask("HSET", &[&key(sku), "available", "0"]).await.unwrap();
        eventually("somebody to be turned away", async || {
            (sale.refused.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
        sale.reaches(sale.granted() + 500).await;
        stop.cancel();
    };
    tokio::join!(load, fault);
    shop.settled(sku).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_of_a_wrong_counter_and_leaves_it() {
    let redis = RedisServer::start().await;
    let settings = redis.settings(TIMEOUT_MS);
    let shop = Shop::open_set(|all| {
        all.redis = settings;
        all.reconcile_repair = false;
    })
    .await;
    let sku = shop.governed(10, 1).await;
    redis.ask("HSET", &[&key(sku), "available", "3"]).await.unwrap();
    // Longer than several comparisons take.
    for _ in 0..20 {
        let counter: Value = shop.counter(sku).await;
        assert_eq!(counter["available"], 3);
        assert_eq!(counter["in_order"], false);
        assert!(
            text(&counter["explanation"]).contains("changed past the service"),
            "{counter}"
        );
    }
}
