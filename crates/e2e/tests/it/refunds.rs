//! Money that goes back in parts, through the gateway, on real stores and the provider's own ledger.

use std::time::Duration;

use ferrocart_audit::{Options, Silent, Target, audit};
use ferrocart_test_kit::{Api, eventually};
use ferrocart_types::SystemClock;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::platform::{ExpectOk, Platform, address, fresh};

fn part(amount_minor: i64) -> Value {
    json!({ "amount": { "amount_minor": amount_minor, "currency": "USD" }, "reason": "a scratch" })
}

async fn delivered(platform: &Platform, buyer: &Api, sku_id: &str) -> String {
    let item = json!({ "sku_id": sku_id, "quantity": 1 });
    buyer.post("/v1/cart/items", item).await.expect_ok();
    let checkout = json!({
        "payment_method": "pm_card_visa", "email": "buyer@example.com", "shipping_address": address(),
    });
    let order = buyer
        .post_once("/v1/checkout", &fresh(), checkout)
        .await
        .expect_ok();
    let id = order["order_id"].as_str().unwrap().to_owned();
    let warehouse = platform.as_role("warehouse").await;
    for verb in ["ship", "deliver"] {
        let path = format!("/v1/orders/{id}/{verb}");
        eventually(verb, || async {
            let answer = warehouse.put(&path, json!({})).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_back_at_once_and_never_more_than_was_captured() {
    let platform = Platform::start().await;
    let sku_id = platform.product_with_stock("refund", 10).await;
    let buyer = platform.as_customer().await;
    let id = delivered(&platform, &buyer, &sku_id).await;
    let support = platform.as_role("support").await;
    let path = format!("/v1/orders/{id}/refund");
    buyer
        .put_once(&path, &fresh(), part(1))
        .await
        .expect_problem(403, "FORBIDDEN");

    // 4,200 were captured: of eight at once four find room, each sent twice under its own key.
    let keys: Vec<String> = (0..8).map(|_| fresh()).collect();
    let sent = keys.iter().chain(&keys).map(|key| {
        let (support, path) = (support.clone(), path.clone());
        async move {
            eventually("a definite answer", || async {
                let answer = support.put_once(&path, key, part(1_000)).await;
                let is_open = matches!(answer.status.as_u16(), 202 | 429)
                    || answer.json["code"] == "REQUEST_IN_PROGRESS";
                (!is_open && !answer.status.is_server_error()).then_some(answer)
            })
            .await
        }
    });
    let answers = join_all(sent).await;
    let given = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        given,
        8,
        "{:?}",
        answers.iter().map(|answer| &answer.text).collect::<Vec<_>>()
    );
    for refused in answers.into_iter().filter(|answer| answer.status != 200) {
        refused.expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    }
    let order = buyer.get(&format!("/v1/orders/{id}")).await.expect_ok();
    assert_eq!(
        (&order["status"], &order["refunded"]["amount_minor"]),
        (&json!("DELIVERED"), &json!(4_000))
    );
    assert_eq!(order["refunds"].as_array().unwrap().len(), 4);

    let rest = support.put(&path, json!({})).await.expect_ok();
    assert_eq!(rest["status"], "REFUNDED");
    assert_eq!(rest["refunded"]["amount_minor"], 4_200);

    let target = Target::of_stack(platform.stack.folder()).unwrap();
    let options = Options {
        grace: Duration::from_secs(1),
        ..Options::default()
    };
    eventually(
        "nothing is too recent to be judged, and nothing is wrong",
        || async {
            let report = audit(&target, &options, &SystemClock, &mut Silent).await.unwrap();
            for finding in &report.findings {
                eprintln!("{}", finding.violation);
            }
            (report.too_recent == 0 && report.findings.is_empty()).then_some(())
        },
    )
    .await;
}
