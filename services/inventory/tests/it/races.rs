use std::collections::BTreeSet;

use ferrocart_inventory::domain::{Refused, Verdict};
use uuid::Uuid;

use crate::harness::{Shop, default_batcher, fresh, reserve_body};

const BUYERS: usize = 500;
const UNITS: i64 = 50;

/// Races over HTTP; answers how many got what they asked for.
async fn race_over_http(shop: &Shop, items: impl Fn(usize) -> Vec<(Uuid, i64)>) -> i64 {
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let (api, body) = (shop.api.clone(), reserve_body(fresh(), &items(buyer)));
            ferrocart_telemetry::spawn("buyer", async move {
                let answer = api.post("/v1/inventory/reserve", body).await;
                if answer.status == 201 {
                    return 1;
                }
                answer.expect_problem(409, "INSUFFICIENT_STOCK");
                0
            })
        })
        .collect();
    let mut granted = 0;
    for buyer in buyers {
        granted += buyer.await.expect("a buyer's answer");
    }
    granted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_500_buyers_of_50_units_over_http_exactly_50_get_one() {
    let shop = Shop::open().await;
    let sku = shop.sku(UNITS).await;
    assert_eq!(race_over_http(&shop, |_| vec![(sku, 1)]).await, UNITS);
    let stock = shop.stock(sku).await;
    assert_eq!(stock["reserved"], UNITS);
    assert_eq!(stock["available"], 0);
    assert_eq!(shop.count_reservations().await, UNITS);
    shop.audit().await;
}

/// Each buyer wants two of three SKUs, named in either order: lanes meet on each other's rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_500_buyers_of_3_skus_nobody_gets_half_and_nothing_is_sold_twice() {
    let shop = Shop::open().await;
    let skus = [
        shop.sku(UNITS).await,
        shop.sku(UNITS).await,
        shop.sku(UNITS).await,
    ];
    let granted = race_over_http(&shop, |buyer| {
        let (first, second) = (skus[buyer % 3], skus[(buyer + 1) % 3]);
        if buyer % 2 == 0 {
            vec![(first, 1), (second, 1)]
        } else {
            vec![(second, 1), (first, 1)]
        }
    })
    .await;
    let mut reserved = 0;
    let mut sold_out = 0;
    for sku in skus {
        let stock = shop.stock(sku).await;
        reserved += stock["reserved"].as_i64().unwrap();
        sold_out += i64::from(stock["available"] == 0);
    }
    assert_eq!(reserved, 2 * granted, "a buyer got one line of two");
    // Whoever was refused met a SKU that was sold out; one unit of the third may have no partner left.
    assert!(sold_out >= 2, "{granted} granted, {reserved} reserved");
    assert_eq!(shop.count_reservations().await, granted);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_500_buyers_of_50_units_in_the_batcher_exactly_50_get_one() {
    let shop = Shop::open().await;
    let sku = shop.sku(UNITS).await;
    // Two batchers stand for two replicas: neither knows what the other sells.
    let batchers = [shop.batcher(&default_batcher()), shop.batcher(&default_batcher())];
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| batchers[buyer % 2].submit(shop.ask(fresh(), &[(sku, 1)])))
        .collect();
    let (mut granted, mut refused) = (0, 0);
    for buyer in buyers {
        match buyer.await.unwrap().unwrap() {
            Verdict::Granted(_) => granted += 1,
            Verdict::Refused(Refused::Insufficient(_)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((granted, refused), (UNITS, 450));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orders_that_are_sent_many_times_at_once_get_one_reservation() {
    let shop = Shop::open().await;
    let (one, two) = (shop.sku(1_000).await, shop.sku(1_000).await);
    let batchers = [shop.batcher(&default_batcher()), shop.batcher(&default_batcher())];
    let orders: Vec<Uuid> = (0..20).map(|_| fresh()).collect();
    let copies: Vec<_> = (0..BUYERS)
        .map(|copy| {
            let request = shop.ask(orders[copy % 20], &[(one, 2), (two, 1)]);
            batchers[copy % 2].submit(request)
        })
        .collect();
    let mut granted = BTreeSet::new();
    for copy in copies {
        match copy.await.unwrap().unwrap() {
            Verdict::Granted(reservation) => {
                assert!(granted.insert(reservation.order_id), "an order was granted twice");
            }
            Verdict::Existing(_) => {}
            Verdict::Refused(refused) => panic!("{refused:?}"),
        }
    }
    assert_eq!(granted.len(), 20);
    assert_eq!(shop.stock(one).await["reserved"], 40);
    assert_eq!(shop.stock(two).await["reserved"], 20);
    shop.audit().await;
}

/// The same order over different SKUs comes through different lanes at once: one of them wins, the other
/// is told that the order is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_order_for_two_different_things_reserves_one_of_them() {
    let shop = Shop::open().await;
    let skus = [shop.sku(1_000).await, shop.sku(1_000).await];
    let batchers = [shop.batcher(&default_batcher()), shop.batcher(&default_batcher())];
    let orders: Vec<Uuid> = (0..100).map(|_| fresh()).collect();
    let requests: Vec<_> = orders
        .iter()
        .flat_map(|order| (0..2).map(|side| batchers[side].submit(shop.ask(*order, &[(skus[side], 1)]))))
        .collect();
    let (mut granted, mut reused) = (0, 0);
    for request in requests {
        match request.await.unwrap().unwrap() {
            Verdict::Granted(_) => granted += 1,
            Verdict::Refused(Refused::OrderReused) => reused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((granted, reused), (100, 100));
    assert_eq!(shop.count_reservations().await, 100);
    shop.audit().await;
}

/// Reserving, confirming, releasing and deducting all at once, while people edit the stock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_leaves_the_books_in_order() {
    let shop = Shop::open().await;
    let skus = [
        shop.sku(2_000).await,
        shop.sku(2_000).await,
        shop.sku(2_000).await,
    ];
    let buyers: Vec<_> = (0..200_usize)
        .map(|buyer| {
            let api = shop.api.clone();
            let merchant = shop.merchant.clone();
            let items = [(skus[buyer % 3], 1), (skus[(buyer + 1) % 3], 2)];
            ferrocart_telemetry::spawn("buyer", async move {
                let made = api
                    .post("/v1/inventory/reserve", reserve_body(fresh(), &items))
                    .await
                    .expect(201);
                let id = serde_json::json!({"reservation_id": made.json["reservation_id"]});
                if buyer % 10 == 0 {
                    let adjustment = serde_json::json!({"delta": 5, "reason": "delivery", "channel": "web"});
                    let path = format!("/v1/inventory/{}/adjustments", items[0].0);
                    merchant
                        .post_once(&path, &fresh().to_string(), adjustment)
                        .await
                        .expect(200);
                }
                if buyer % 4 != 0 {
                    api.post("/v1/inventory/confirm", &id).await.expect(200);
                }
                match buyer % 4 {
                    1 => api.post("/v1/inventory/deduct", &id).await.expect(200),
                    2 => api.post("/v1/inventory/release", &id).await.expect(200),
                    _ => made,
                };
            })
        })
        .collect();
    for buyer in buyers {
        buyer.await.unwrap();
    }
    let (mut on_hand, mut reserved) = (0, 0);
    for sku in skus {
        let stock = shop.stock(sku).await;
        on_hand += stock["on_hand"].as_i64().unwrap();
        reserved += stock["reserved"].as_i64().unwrap();
    }
    // 50 buyers each: reserved, deducted, released, confirmed; three units a buyer; 20 deliveries of 5.
    assert_eq!(on_hand, 6_000 + 100 - 150);
    assert_eq!(reserved, 300);
    shop.audit().await;
}
