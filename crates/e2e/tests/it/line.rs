//! The line of a flash sale, while the service that keeps it is killed.

use std::time::{Duration, Instant};

use ferrocart_stack::Service;
use ferrocart_test_kit::{Answer, Api, eventually};
use serde_json::{Value, json};

use crate::platform::{ExpectOk, Platform, address, fresh};

const UNITS: usize = 2;
const WAITING: usize = 5;
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until there is an answer that is no excuse, as a careful client does: with the same key.
async fn insist<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        let excuse = answer.status.is_server_error()
            || answer.status == 429
            || answer.json["code"] == "REQUEST_IN_PROGRESS";
        if !excuse {
            return answer;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "no answer in {PATIENCE:?}: {}",
            answer.text
        );
        // Polling, as a client that was told to come back does.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A buyer and the key under which they joined: asking again tells where they stand.
struct Buyer {
    api: Api,
    key: String,
}

impl Buyer {
    async fn stand(&self, sku_id: &str) -> Value {
        let body = json!({ "sku_id": sku_id });
        insist(|| self.api.post_once("/v1/waitlist", &self.key, &body))
            .await
            .expect_ok()
    }

    async fn granted(&self, sku_id: &str) -> String {
        eventually("a ticket that is granted", async || {
            self.stand(sku_id).await["hold_id"]
                .as_str()
                .map(ToOwned::to_owned)
        })
        .await
    }

    async fn give_back(&self, hold_id: &str) {
        let path = format!("/v1/holds/{hold_id}");
        insist(|| self.api.delete(&path)).await.expect_ok();
    }
}

async fn start_sale(platform: &Platform, sku_id: &str) {
    let merchant = platform.as_role("merchant").await;
    let sale =
        json!({ "sku_id": sku_id, "name": "a line", "units_per_buyer_max": 1, "waitlist_units_max": 20 });
    let sale = merchant
        .post_once("/v1/flash-sales", &fresh(), sale)
        .await
        .expect_ok();
    let sale_id = sale["sale_id"].as_str().unwrap();
    for command in ["preload", "start"] {
        let path = format!("/v1/flash-sales/{sale_id}/{command}");
        merchant.post(&path, json!({})).await.expect_ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_keeps_its_order_whatever_is_killed() {
    let platform = Platform::start().await;
    let sku_id = platform.product_with_stock("line", 2).await;
    start_sale(&platform, &sku_id).await;
    let mut buyers = Vec::new();
    for _ in 0..UNITS + WAITING {
        let api = platform.as_customer().await;
        buyers.push(Buyer { api, key: fresh() });
    }
    let (holders, line) = buyers.split_at(UNITS);
    let mut holds = Vec::new();
    for holder in holders {
        let wanted = json!({ "sku_id": sku_id, "quantity": 1 });
        let hold = holder
            .api
            .post_once("/v1/holds", &fresh(), wanted)
            .await
            .expect_ok();
        holds.push(hold["hold_id"].as_str().unwrap().to_owned());
    }
    let inventory = platform.stack.process(Service::Inventory);
    let kill = async || {
        inventory.kill9().unwrap();
        inventory.start().await.unwrap();
    };

    // Killed while they come.
    for (place, buyer) in line.iter().enumerate() {
        let joined = if place == 2 {
            tokio::join!(buyer.stand(&sku_id), kill()).0
        } else {
            buyer.stand(&sku_id).await
        };
        assert_eq!(joined["status"], "WAITING", "{joined}");
    }
    let ahead = async |buyer: &Buyer| buyer.stand(&sku_id).await["ahead"].as_u64();
    for (place, buyer) in (0..).zip(line) {
        assert_eq!(ahead(buyer).await, Some(place));
    }

    // Killed while units come free.
    for (holder, hold) in holders.iter().zip(&holds) {
        tokio::join!(holder.give_back(hold), kill());
    }
    let first = line[0].granted(&sku_id).await;
    let second = line[1].granted(&sku_id).await;
    tokio::join!(line[0].give_back(&first), kill());
    line[2].granted(&sku_id).await;
    for (place, buyer) in (0..).zip(&line[3..]) {
        assert_eq!(ahead(buyer).await, Some(place), "somebody overtook");
    }

    let order = json!({ "hold_id": second, "payment_method": "pm_card_visa", "shipping_address": address() });
    let key = fresh();
    let order = insist(|| line[1].api.post_once("/v1/orders", &key, &order))
        .await
        .expect_ok();
    assert_eq!(order["status"], "CONFIRMED", "{order}");
    let stock = platform.stock(&sku_id).await;
    assert_eq!(
        (&stock["on_hand"], &stock["reserved"]),
        (&json!(2), &json!(2)),
        "{stock}"
    );
}
