//! Counters in Redis before the stock: they turn losers away, and never decide.

use std::time::{Duration, Instant};

use ferrocart_http_kit::Role;
use ferrocart_inventory::admission::Admission;
use ferrocart_test_kit::{Answer, Api, eventually};
use ferrocart_types::SkuId;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, fresh, reserve_body, text};

impl Shop {
    /// A SKU with a counter that is ready.
    pub(crate) async fn governed(&self, on_hand: i64, shards: u16) -> Uuid {
        let sku = self.sku(on_hand).await;
        let status = self.admission.load(SkuId(sku), shards).await.expect("a counter");
        assert_eq!(status.expect("a SKU with stock").shards, shards);
        ready(&self.admission, sku).await;
        sku
    }

    pub(crate) async fn counter(&self, sku: Uuid) -> Value {
        let path = format!("/v1/inventory/{sku}/drift");
        self.merchant.get(&path).await.expect(200).json["counter"].clone()
    }

    /// Waits until the counter says what the table says, with nothing in flight.
    pub(crate) async fn settled(&self, sku: Uuid) -> Value {
        eventually("the counter to agree with the table", async || {
            let counter = self.counter(sku).await;
            let stock = self.stock(sku).await;
            let agrees = counter["in_order"] == true
                && counter["ready"] == true
                && counter["in_flight"] == 0
                && counter["available"] == stock["available"];
            agrees.then_some(counter)
        })
        .await
    }
}

pub(crate) async fn ready(admission: &Admission, sku: Uuid) {
    eventually("the counter to be ready", async || {
        admission
            .status(SkuId(sku))
            .is_some_and(|status| status.ready)
            .then_some(())
    })
    .await;
}

/// As many buyers as there are, each of one unit, taking turns at the replicas. Answers who was granted.
async fn rush(apis: &[&Api], sku: Uuid, buyers: usize) -> Vec<(Uuid, Answer)> {
    let requests = (0..buyers).map(|buyer| async move {
        let order = fresh();
        let api = apis[buyer % apis.len()];
        let answer = api
            .post("/v1/inventory/reserve", reserve_body(order, &[(sku, 1)]))
            .await;
        (order, answer)
    });
    let answers = join_all(requests).await;
    for (_, answer) in &answers {
        assert!(matches!(answer.status.as_u16(), 201 | 409), "{answer:?}");
    }
    answers
        .into_iter()
        .filter(|(_, answer)| answer.status == 201)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_sell_out_exactly_and_a_released_unit_is_sold_by_both() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    let sku = shop.governed(40, 4).await;
    ready(&replica.admission, sku).await;
    let granted = rush(&[&shop.api, &replica.api], sku, 400).await;
    assert_eq!(granted.len(), 40);
    shop.settled(sku).await;
    assert_eq!(shop.stock(sku).await["available"], 0);
    shop.audit().await;
    // A retry of a granted order gets its first answer, though there is nothing left.
    let (order, first) = &granted[0];
    let again = replica
        .api
        .post("/v1/inventory/reserve", reserve_body(*order, &[(sku, 1)]))
        .await;
    assert_eq!(
        text(&again.json["reservation_id"]),
        text(&first.json["reservation_id"])
    );
    // Released at one replica, sold at the other, and the other way round.
    let mut took = Vec::new();
    for (turn, (_, grant)) in granted.iter().take(6).enumerate() {
        let (here, there) = if turn % 2 == 0 {
            (&shop.api, &replica.api)
        } else {
            (&replica.api, &shop.api)
        };
        let body = json!({"reservation_id": grant.json["reservation_id"]});
        here.post("/v1/inventory/release", body).await.expect(200);
        let released = Instant::now();
        eventually("the released unit to be sold", async || {
            let body = reserve_body(fresh(), &[(sku, 1)]);
            let answer = there.post("/v1/inventory/reserve", body).await;
            (answer.status == 201).then_some(())
        })
        .await;
        took.push(released.elapsed());
    }
    // Other tests share the machine: not every one must be quick.
    took.sort_unstable();
    assert!(
        took[2].as_millis() < 100,
        "released units were sold after {took:?}"
    );
    shop.settled(sku).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_out_costs_the_database_nothing() {
    let shop = Shop::open().await;
    let sku = shop.governed(1, 1).await;
    shop.reserved(&[(sku, 1)]).await;
    shop.settled(sku).await;
    // Whoever was granted made the order before the last sale; now there are only younger ones.
    let sold = Instant::now();
    eventually("the last sale to be over", async || {
        (sold.elapsed() > Duration::from_secs(4)).then_some(())
    })
    .await;
    // Who needed to read so much as one row would wait.
    let mut locked = shop.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE stock, reservations IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();
    for _ in 0..5 {
        let items = [(sku, 1)];
        let refused = tokio::time::timeout(Duration::from_secs(5), shop.reserve(fresh(), &items)).await;
        refused.unwrap().expect_problem(409, "INSUFFICIENT_STOCK");
    }
    locked.rollback().await.unwrap();
    let other = shop.sku(5).await;
    // All or nothing: the SKU without a counter is not touched.
    shop.reserve(fresh(), &[(other, 1), (sku, 1)]).await.expect(409);
    assert_eq!(shop.stock(other).await["reserved"], 0);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_of_every_shard_is_sold() {
    let shop = Shop::open().await;
    for shards in [1_u16, 2, 5, 16] {
        for units in [1_i64, 7, 16] {
            let sku = shop.governed(units, shards).await;
            for sold in 0..units {
                let answer = shop.reserve(fresh(), &[(sku, 1)]).await;
                assert_eq!(answer.status, 201, "unit {sold} of {units} in {shards} shards");
            }
            shop.reserve(fresh(), &[(sku, 1)]).await.expect(409);
        }
        // One buyer who wants what is in all shards together.
        let sku = shop.governed(20, shards).await;
        shop.reserve(fresh(), &[(sku, 21)]).await.expect(409);
        shop.settled(sku).await;
        shop.reserve(fresh(), &[(sku, 20)]).await.expect(201);
    }
    shop.audit().await;
}

/// Nothing is compared: what the counter knows it was told.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_stock_reaches_the_counter_by_itself() {
    let shop = Shop::open_set(|all| all.admission.admission_compare_ms = 60_000).await;
    let sku = shop.governed(20, 3).await;
    let (_, admin) = shop.user(&[Role::Admin]);
    let path = format!("/v1/inventory/{sku}");
    let [kept, released, shipped] = [
        shop.reserved(&[(sku, 1)]).await,
        shop.reserved(&[(sku, 2)]).await,
        shop.reserved(&[(sku, 4)]).await,
    ];
    assert_eq!(shop.settled(sku).await["available"], 13);
    shop.command("release", &released).await.expect(200);
    assert_eq!(shop.settled(sku).await["available"], 15);
    shop.command("confirm", &shipped).await.expect(200);
    shop.command("deduct", &shipped).await.expect(200);
    shop.command("confirm", &kept).await.expect(200);
    assert_eq!(shop.settled(sku).await["available"], 15);
    let adjustment = json!({"delta": 5, "reason": "found", "channel": "store"});
    admin
        .post_once(&format!("{path}/adjustments"), "adjust", adjustment)
        .await
        .expect(200);
    assert_eq!(shop.settled(sku).await["available"], 20);
    admin.put(&path, json!({"on_hand": 4})).await.expect(200);
    assert_eq!(shop.settled(sku).await["available"], 3);
    shop.reserved(&[(sku, 3)]).await;
    assert_eq!(shop.settled(sku).await["available"], 0);
    shop.advance(1_000);
    // The sweeper told it.
    eventually("the expired units to be for sale", async || {
        (shop.counter(sku).await["available"] == 3).then_some(())
    })
    .await;
    shop.audit().await;
    // The table is repaired, and the counter after it.
    sqlx::query("UPDATE stock SET on_hand = on_hand + 3 WHERE sku_id = $1")
        .bind(sku)
        .execute(&shop.pool)
        .await
        .unwrap();
    eventually("the table to be repaired", async || {
        (shop.stock(sku).await["on_hand"] == 4).then_some(())
    })
    .await;
    shop.settled(sku).await;
    admin.delete(&path).await;
    eventually("the counter to go", async || {
        shop.admission.status(SkuId(sku)).is_none().then_some(())
    })
    .await;
    shop.reserve(fresh(), &[(sku, 1)]).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_can_be_spread_anew_and_taken_away() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    let sku = shop.governed(12, 1).await;
    ready(&replica.admission, sku).await;
    for shards in [4, 2, 1] {
        replica.admission.load(SkuId(sku), shards).await.unwrap();
        eventually("the other replica to know", async || {
            let status = shop.admission.status(SkuId(sku))?;
            (status.shards == shards && status.ready).then_some(())
        })
        .await;
        shop.reserved(&[(sku, 1)]).await;
        assert_eq!(shop.settled(sku).await["shards"], shards);
    }
    replica.admission.unload(SkuId(sku)).await.unwrap();
    eventually("the other replica to know", async || {
        shop.admission.status(SkuId(sku)).is_none().then_some(())
    })
    .await;
    assert!(shop.counter(sku).await.is_null());
    shop.reserved(&[(sku, 9)]).await;
    shop.reserve(fresh(), &[(sku, 1)]).await.expect(409);
    let unknown = shop.admission.load(SkuId(fresh()), 1).await.unwrap();
    assert_eq!(unknown, None, "there is no stock of it");
    shop.audit().await;
}
