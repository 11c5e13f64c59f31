//! The history from the ledger, and the word that stock runs low.

use ferrocart_contracts::v1::{StockLow, StockUpdated};
use ferrocart_contracts::{Event, Topic};
use ferrocart_http_kit::Role;
use serde_json::{Value, json};

use crate::harness::{Shop, fresh, text};

#[tokio::test(flavor = "multi_thread")]
async fn low_stock_is_told_once_for_each_crossing() {
    let shop = Shop::open_set(|settings| settings.stock_low_threshold = 5).await;
    let mut log = shop.env.events(Topic::Inventory);
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}");
    let set = async |on_hand: i64| {
        shop.merchant
            .put(&path, json!({"on_hand": on_hand}))
            .await
            .expect(200);
    };
    shop.reserved(&[(sku, 4)]).await; // 6
    let back = shop.reserved(&[(sku, 2)]).await; // 4: low
    shop.reserved(&[(sku, 1)]).await; // 3: still
    shop.command("release", &back).await.expect(200); // 5: still
    set(12).await; // 7
    set(10).await; // 5: low again
    let born_low = shop.sku(3).await;
    let gone = shop.sku(9).await;
    shop.merchant
        .delete(&format!("/v1/inventory/{gone}"))
        .await
        .expect(204);
    let last = shop.sku(1).await;
    // The SKUs may lie on different partitions, so that each is waited for.
    let count = |all: &[ferrocart_contracts::Envelope], sku: &str, kind: &str| {
        all.iter()
            .filter(|event| event.subject == sku && event.event_type == kind)
            .count()
    };
    let (own, others) = (sku.to_string(), [(born_low, 1), (gone, 2), (last, 1)]);
    let all = log
        .until("the events of all SKUs", |all| {
            count(all, &own, StockLow::TYPE) >= 2
                && count(all, &own, StockUpdated::TYPE) >= 7
                && others
                    .iter()
                    .all(|(sku, least)| count(all, &sku.to_string(), StockUpdated::TYPE) >= *least)
        })
        .await;
    let low = all.iter().filter(|event| event.event_type == StockLow::TYPE);
    let low: Vec<StockLow> = low.map(|event| event.decode().unwrap()).collect();
    let told: Vec<_> = low
        .iter()
        .map(|event| (event.sku_id.clone(), event.available, event.threshold))
        .collect();
    let name = sku.to_string();
    assert_eq!(
        told,
        [(name.clone(), 4, 5), (name.clone(), 5, 5)],
        "{born_low} {gone}"
    );
    let sequences: Vec<i64> = all
        .iter()
        .filter(|event| event.subject == name)
        .map(|event| event.sequence)
        .collect();
    assert!(
        sequences.windows(2).all(|pair| pair[0] < pair[1]),
        "{sequences:?}"
    );
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_every_change_page_by_page() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let path = format!("/v1/inventory/{sku}");
    let order = fresh();
    let made = shop.reserve(order, &[(sku, 2)]).await.expect(201);
    let id = text(&made.json["reservation_id"]);
    shop.command("confirm", &id).await.expect(200);
    shop.command("deduct", &id).await.expect(200);
    let adjustment = json!({"delta": 5, "reason": "delivery", "channel": "store"});
    shop.merchant
        .post_once(&format!("{path}/adjustments"), "k", adjustment)
        .await
        .expect(200);
    let mut entries: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = shop
            .merchant
            .get(&format!("{path}/history?limit=2{cursor}"))
            .await
            .expect(200);
        let items = page.json["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()));
        entries.extend(items.iter().cloned());
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let number = |name: &str| entry[name].as_i64().unwrap();
            (
                text(&entry["kind"]),
                number("on_hand_delta"),
                number("reserved_delta"),
            )
        })
        .collect();
    let expected = [
        ("ADJUSTED", 5, 0),
        ("DEDUCTED", -2, -2),
        ("CONFIRMED", 0, 0),
        ("RESERVED", 0, 2),
        ("INITIALIZED", 10, 0),
    ];
    let expected: Vec<_> = expected
        .map(|(kind, on_hand, reserved)| (kind.to_owned(), on_hand, reserved))
        .into();
    assert_eq!(told, expected);
    let (newest, reserved) = (&entries[0], &entries[3]);
    assert_eq!(newest["actor"], format!("user:{}", shop.merchant_id));
    assert_eq!(
        (&newest["reason"], &newest["channel"]),
        (&json!("delivery"), &json!("store"))
    );
    assert_eq!(
        (&reserved["actor"], &reserved["order_id"]),
        (&json!("service:order"), &json!(order))
    );
    assert!(newest["at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_for_the_owner_support_and_administrators() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let path = format!("/v1/inventory/{sku}/history");
    for (role, status) in [
        (Role::Merchant, 403),
        (Role::Customer, 403),
        (Role::Support, 200),
        (Role::Admin, 200),
    ] {
        let (_, api) = shop.user(&[role]);
        api.get(&path).await.expect(status);
    }
    let anonymous = shop.api.with_token(shop.env.keys.anonymous_token("inventory"));
    anonymous.get(&path).await.expect(401);
    shop.merchant
        .get(&format!("/v1/inventory/{}/history", fresh()))
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    for query in ["limit=0", "limit=101", "cursor=x"] {
        shop.merchant
            .get(&format!("{path}?{query}"))
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
}
