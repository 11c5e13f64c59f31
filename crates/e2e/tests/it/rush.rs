//! More buyers than units, while processes are killed in the middle of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ferrocart_audit::{Options, Silent, Target, audit};
use ferrocart_stack::Service;
use ferrocart_test_kit::{Api, eventually};
use ferrocart_types::SystemClock;
use serde_json::{Value, json};

use crate::platform::{ExpectOk, Platform, address, fresh};

const UNITS: i64 = 15;
const BUYERS: usize = 30;
/// A buyer gives up after so long; far more than recovery may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// How one buyer's checkout ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Bought { order_id: String },
    SoldOut,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_with_kills_sells_every_unit_at_most_once() {
    let platform = Platform::start().await;
    let sku_id = platform.product_with_stock("rush", UNITS).await;
    let mut buyers = Vec::new();
    for _ in 0..BUYERS {
        let guest = platform.as_guest().await;
        guest
            .post("/v1/cart/items", json!({ "sku_id": sku_id, "quantity": 1 }))
            .await
            .expect_ok();
        buyers.push(guest);
    }

    let checkouts: Vec<_> = buyers
        .into_iter()
        .map(|guest| ferrocart_telemetry::spawn("buyer", check_out(guest)))
        .collect();
    for victim in [Service::Order, Service::Payment, Service::Inventory] {
        let process = platform.stack.process(victim);
        process.kill9().unwrap();
        process.start().await.unwrap();
    }
    let mut endings = Vec::new();
    for checkout in checkouts {
        endings.push(checkout.await.unwrap());
    }

    let bought: BTreeSet<&str> = endings
        .iter()
        .filter_map(|(_, ending)| match ending {
            Ending::Bought { order_id } => Some(order_id.as_str()),
            Ending::SoldOut => None,
        })
        .collect();
    let sold = i64::try_from(bought.len()).unwrap();
    assert!(sold <= UNITS, "oversold: {sold} of {UNITS}");
    assert!(sold >= 1, "nobody got through");
    every_order_is_final(&endings, &bought).await;
    eventually("stock that agrees with the orders", || async {
        let stock = platform.stock(&sku_id).await;
        (stock["on_hand"] == UNITS && stock["reserved"] == sold).then_some(())
    })
    .await;
    eventually("a provider that agrees with the orders", || async {
        agrees(&platform.provider_ledger().await, &bought).then_some(())
    })
    .await;
    no_promise_is_broken(&platform).await;
}

/// What the auditor says once all has been quiet for a moment, so that it compares everything.
pub(crate) async fn no_promise_is_broken(platform: &Platform) {
    let target = Target::of_stack(platform.stack.folder()).unwrap();
    let options = Options {
        grace: Duration::from_secs(2),
        ..Options::default()
    };
    let report = eventually("an audit of what is quiet", || async {
        let report = audit(&target, &options, &SystemClock, &mut Silent).await.unwrap();
        (report.too_recent == 0).then_some(report)
    })
    .await;
    assert!(report.is_clean(), "{:#?}", report.findings);
    for checked in [
        "I1 I4 SKUs",
        "I4 products",
        "I1 I2 I3 I4 I6 orders",
        "payment intents",
    ] {
        let count = report.checked.iter().find(|(what, _)| *what == checked);
        assert!(
            count.is_some_and(|(_, count)| *count > 0),
            "{checked}: {:?}",
            report.checked
        );
    }
}

/// Checks out as a careful client does: the same key until there is a definite answer.
async fn check_out(guest: Api) -> (Api, Ending) {
    let key = fresh();
    let body = json!({
        "payment_method": "pm_card_visa", "email": "guest@example.com", "shipping_address": address(),
    });
    let started = Instant::now();
    loop {
        let answer = guest.post_once("/v1/checkout", &key, &body).await;
        match (answer.status.as_u16(), answer.json["code"].as_str()) {
            (201, _) => {
                let order_id = answer.json["order_id"].as_str().unwrap().to_owned();
                return (guest, Ending::Bought { order_id });
            }
            (409, Some("INSUFFICIENT_STOCK")) => return (guest, Ending::SoldOut),
            (202 | 429 | 500..=599, _) | (409, Some("REQUEST_IN_PROGRESS")) => {}
            _ => panic!("{}: {}", answer.status, answer.text),
        }
        assert!(
            started.elapsed() < PATIENCE,
            "no definite answer in {PATIENCE:?}; the last one: {}",
            answer.text
        );
        // Polling, as a client that was told to come back does.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What was answered 201 stands, and nothing else of these buyers does.
async fn every_order_is_final(endings: &[(Api, Ending)], bought: &BTreeSet<&str>) {
    for (guest, _) in endings {
        let orders = eventually("final orders", || async {
            let orders = guest.get("/v1/orders").await.expect_ok();
            let orders = orders["items"].as_array().unwrap().clone();
            orders.iter().all(is_final).then_some(orders)
        })
        .await;
        for order in orders {
            let order_id = order["order_id"].as_str().unwrap();
            assert_eq!(
                order["status"] == "CONFIRMED",
                bought.contains(order_id),
                "{order}"
            );
        }
    }
}

fn is_final(order: &Value) -> bool {
    order["status"] == "CONFIRMED" || order["status"] == "CANCELLED"
}

/// One authorization that can be captured for each order that stands, none for any other.
fn agrees(ledger: &[Value], bought: &BTreeSet<&str>) -> bool {
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in ledger {
        if entry["object"] == "payment_intent" && entry["status"] == "requires_capture" {
            *open
                .entry(entry["metadata"]["order_id"].as_str().unwrap_or_default())
                .or_default() += 1;
        }
    }
    open.len() == bought.len()
        && open
            .iter()
            .all(|(order, count)| *count == 1 && bought.contains(order))
}
