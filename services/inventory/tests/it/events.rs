use ferrocart_contracts::v1::{
    Order, OrderCancelled, ReleaseReason, ReservationConfirmed, ReservationDeducted, ReservationExpired,
    ReservationLine, ReservationReleased, StockReserved, StockUpdated,
};
use ferrocart_contracts::{Event, Topic};
use ferrocart_test_kit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Shop, default_batcher, fresh, hold_row, text};

fn is_of(line: Option<&ReservationLine>, reservation: &str, sku: Uuid) -> bool {
    line.is_some_and(|line| line.reservation_id == reservation && line.sku_id == sku.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_reservation_is_published_with_growing_sequences() {
    let shop = Shop::open().await;
    let mut log = shop.env.events(Topic::Inventory);
    let (one, two) = (shop.sku(10).await, shop.sku(10).await);
    let order = fresh();
    let made = shop.reserve(order, &[(one, 2), (two, 1)]).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    shop.command("confirm", &id).await.expect(200);
    shop.command("deduct", &id).await.expect(200);
    let released = shop.reserved(&[(one, 3)]).await;
    let body = json!({"reservation_id": released, "reason": "PAYMENT_FAILED"});
    shop.api.post("/v1/inventory/release", body).await.expect(200);
    let expired = shop.reserved(&[(one, 4)]).await;
    shop.advance(901);

    let (envelope, reserved) = log
        .find::<StockReserved>(|event| is_of(event.line.as_ref(), &id, two))
        .await;
    let line = reserved.line.unwrap();
    assert_eq!((line.order_id, line.quantity), (order.to_string(), 1));
    assert_eq!(envelope.subject, two.to_string());
    assert_eq!(envelope.source, "/ferrocart/inventory");
    assert_eq!(
        envelope.traceparent.unwrap().get(3..35),
        made.headers["traceparent"].to_str().unwrap().get(3..35),
        "the event continues the request's trace"
    );
    log.find::<ReservationConfirmed>(|event| is_of(event.line.as_ref(), &id, one))
        .await;
    log.find::<ReservationDeducted>(|event| is_of(event.line.as_ref(), &id, one))
        .await;
    let (_, event) = log
        .find::<ReservationReleased>(|event| is_of(event.line.as_ref(), &released, one))
        .await;
    assert_eq!(event.reason(), ReleaseReason::PaymentFailed);
    log.find::<ReservationExpired>(|event| is_of(event.line.as_ref(), &expired, one))
        .await;
    let (_, last) = log
        .find::<StockUpdated>(|event| event.sku_id == one.to_string() && event.version >= 14)
        .await;
    assert_eq!((last.on_hand, last.reserved, last.available), (8, 0, 8));
    assert_eq!(last.reason, "RELEASED");

    let all = log.until("what is there", |_| true).await;
    for sku in [one, two] {
        let of_sku = all.iter().filter(|event| event.subject == sku.to_string());
        let sequences: Vec<i64> = of_sku.map(|event| event.sequence).collect();
        assert!(
            sequences.windows(2).all(|pair| pair[0] < pair[1]),
            "{sequences:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stock_update_stands_for_a_batch() {
    let shop = Shop::open().await;
    let mut log = shop.env.events(Topic::Inventory);
    let sku = shop.sku(1_000).await;
    let mut settings = default_batcher();
    settings.lanes = 1;
    let own = shop.batcher(&settings);
    let held = hold_row(&shop.pool, sku).await;
    let requests: Vec<_> = (0..100)
        .map(|_| own.submit(shop.ask(fresh(), &[(sku, 1)])))
        .collect();
    eventually("the requests to arrive", || async {
        (own.batcher.queued() >= 50).then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    log.find::<StockUpdated>(|event| event.reserved == 100).await;
    let events = log.until("what is there", |_| true).await;
    let count = |event_type: &str| {
        events
            .iter()
            .filter(|event| event.event_type == event_type)
            .count()
    };
    assert_eq!(count(StockReserved::TYPE), 100);
    // The initialisation, and a few batches.
    assert!(
        count(StockUpdated::TYPE) <= 10,
        "{} updates",
        count(StockUpdated::TYPE)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_stock_are_published_with_their_reasons() {
    let shop = Shop::open().await;
    let mut log = shop.env.events(Topic::Inventory);
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}");
    shop.merchant.put(&path, json!({"on_hand": 20})).await.expect(200);
    let adjustment = json!({"delta": -1, "reason": "broken", "channel": "store"});
    shop.merchant
        .post_once(&format!("{path}/adjustments"), "k", adjustment)
        .await
        .expect(200);
    shop.merchant.delete(&path).await.expect(204);
    let expected = [
        ("INITIALIZED", 10, 1),
        ("SET", 20, 2),
        ("ADJUSTED", 19, 3),
        ("DISCONTINUED", 0, 4),
    ];
    for (reason, available, version) in expected {
        let (_, event) = log.find::<StockUpdated>(|event| event.reason == reason).await;
        assert_eq!((event.available, event.version), (available, version), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_s_units_are_released_once_even_if_told_twice() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let order = fresh();
    let made = shop.reserve(order, &[(sku, 4)]).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    shop.command("confirm", &id).await.expect(200);
    let cancelled = |order: Uuid, sequence| OrderCancelled {
        order: Some(Order {
            order_id: order.to_string(),
            sequence,
            ..Default::default()
        }),
        reason: "PAYMENT_DECLINED".to_owned(),
    };
    // One without a reservation, one twice.
    shop.env.publish("order", &cancelled(fresh(), 2)).await;
    shop.env.publish("order", &cancelled(order, 2)).await;
    shop.env.publish("order", &cancelled(order, 3)).await;
    eventually("the units to be released", || async {
        (shop.stock(sku).await["available"] == 10).then_some(())
    })
    .await;
    let seen = shop.reservation(&id).await;
    assert_eq!(seen["release_reason"], "PAYMENT_FAILED");
    // By the time that events of many later orders were read, from all partitions, the second telling was too.
    for _ in 0..40 {
        let marker = fresh();
        shop.reserve(marker, &[(sku, 1)]).await.expect(201);
        shop.env.publish("order", &cancelled(marker, 2)).await;
        eventually("the marker to be released", || async {
            (shop.stock(sku).await["available"] == 10).then_some(())
        })
        .await;
    }
    let releases: i64 =
        sqlx::query_scalar("SELECT count(*) FROM stock_ledger WHERE order_id = $1 AND kind = 'RELEASED'")
            .bind(order)
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert_eq!(releases, 1);
    shop.audit().await;
}
