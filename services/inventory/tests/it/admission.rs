//! Counters in Redis before the stock: they turn losers away, and never decide.

use std::time::Instant;

use ferrocart_inventory::admission::Admission;
use ferrocart_test_kit::{Answer, Api, eventually};
use ferrocart_types::SkuId;
use futures::future::join_all;
use serde_json::Value;
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

    async fn counter(&self, sku: Uuid) -> Value {
        let path = format!("/v1/inventory/{sku}/drift");
        self.merchant.get(&path).await.expect(200).json["counter"].clone()
    }

    /// Waits until the counter says what the table says, with nothing in flight.
    async fn settled(&self, sku: Uuid) -> Value {
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
    for (index, (here, there)) in [(&shop.api, &replica.api), (&replica.api, &shop.api)]
        .iter()
        .enumerate()
    {
        let reservation = text(&granted[index].1.json["reservation_id"]);
        here.post(
            "/v1/inventory/release",
            serde_json::json!({"reservation_id": reservation}),
        )
        .await
        .expect(200);
        let released = Instant::now();
        eventually("the released unit to be sold", async || {
            let answer = there
                .post("/v1/inventory/reserve", reserve_body(fresh(), &[(sku, 1)]))
                .await;
            (answer.status == 201).then_some(())
        })
        .await;
        let took = released.elapsed();
        assert!(took.as_millis() < 1_000, "sold after {took:?}");
    }
    shop.settled(sku).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_out_changes_nothing_in_the_database() {
    let shop = Shop::open().await;
    let sku = shop.governed(1, 1).await;
    shop.reserved(&[(sku, 1)]).await;
    shop.settled(sku).await;
    // The row is held: who needed it would wait.
    let held = crate::harness::hold_row(&shop.pool, sku).await;
    for _ in 0..5 {
        let refused = shop.reserve(fresh(), &[(sku, 1)]).await.expect(409);
        assert_eq!(refused.json["code"], "INSUFFICIENT_STOCK");
    }
    held.rollback().await.unwrap();
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
