//! Money that goes back in parts.

use ferrocart_contracts::v1::{OrderPartiallyRefunded, OrderRefunded};
use ferrocart_contracts::{Event as _, Topic};
use ferrocart_failpoint::Site;
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Buyer, Shop, id_of, statuses};
use crate::world::{Fault, fresh};

fn usd(amount_minor: i64) -> Value {
    json!({ "amount_minor": amount_minor, "currency": "USD" })
}

async fn refund(api: &Api, order: &str, key: &str, body: Value) -> Answer {
    api.put_once(&format!("/v1/orders/{order}/refund"), key, body)
        .await
}

impl Shop {
    /// A delivered order of three units at 1,000.
    async fn delivered(&self) -> (Buyer, Uuid, String) {
        let (buyer, sku) = (self.customer(), self.world.sku(1_000, 10));
        self.fill(&buyer, &[(sku, 3)]);
        let id = id_of(&buyer.checkout("pm_card_visa").await);
        buyer.until(&id, "CONFIRMED").await;
        let warehouse = self.staff(Role::Warehouse);
        for verb in ["ship", "deliver"] {
            warehouse
                .put(&format!("/v1/orders/{id}/{verb}"), json!({}))
                .await
                .expect(200);
        }
        (buyer, sku, id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_back_each_once_until_nothing_is_left() {
    let shop = Shop::open_with_kafka(|_| {}).await;
    let (buyer, sku, id) = shop.delivered().await;
    let support = shop.staff(Role::Support);
    let some = json!({ "amount": usd(300), "reason": "a scratch" });
    let first = refund(&support, &id, "one", some.clone()).await.expect(200);
    assert_eq!(first.json["status"], "DELIVERED");
    assert_eq!(first.json["refunded"], usd(300));
    assert_eq!(first.json["payment"]["status"], "CAPTURED");
    let again = refund(&support, &id, "one", some).await.expect(200);
    assert_eq!(again.text, first.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    refund(&support, &id, "one", json!({ "amount": usd(301) }))
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let items = json!({ "items": [{ "sku_id": sku, "quantity": 2 }] });
    let second = refund(&support, &id, "two", items).await.expect(200);
    assert_eq!(second.json["refunded"], usd(2_300));
    assert_eq!(second.json["refunds"][1]["items"][0]["quantity"], 2);
    assert_eq!(buyer.order(&id).await["refunds"], second.json["refunds"]);
    let too_much = refund(&support, &id, "three", json!({ "amount": usd(701) })).await;
    let too_much = too_much.expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    assert_eq!(too_much.json["refundable"], usd(700));
    let units = json!({ "items": [{ "sku_id": sku, "quantity": 2 }], "amount": usd(1) });
    refund(&support, &id, "four", units)
        .await
        .expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    let rest = support
        .put(&format!("/v1/orders/{id}/refund"), json!({}))
        .await
        .expect(200);
    assert_eq!(rest.json["status"], "REFUNDED");
    assert_eq!(rest.json["refunded"], usd(3_000));
    assert_eq!(shop.world.money_moves(&id, "refund"), 3);
    let history = statuses(&rest.json);
    assert_eq!(history[4..], ["DELIVERED", "DELIVERED", "DELIVERED", "REFUNDED"]);
    assert_eq!(rest.json["history"][5]["reason"], "a scratch");
    assert_eq!(rest.json["history"][7]["refunded"], usd(700));
    refund(&support, &id, "five", json!({ "amount": usd(1) }))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    refund(&support, &id, "six", json!({})).await.expect(200);
    let by: Vec<String> = sqlx::query_scalar("SELECT DISTINCT requested_by FROM order_refunds")
        .fetch_all(&shop.pool)
        .await
        .unwrap();
    assert_eq!(by.len(), 1);
    assert!(by[0].starts_with("user:"), "{by:?}");

    let mut log = shop.env.events(Topic::Order);
    let events = log
        .until("the last refund", |events| {
            events.iter().any(|event| event.event_type == OrderRefunded::TYPE)
        })
        .await;
    let part = events
        .iter()
        .find(|event| event.event_type == OrderPartiallyRefunded::TYPE)
        .unwrap();
    let part = part.decode::<OrderPartiallyRefunded>().unwrap();
    assert_eq!(part.amount.unwrap().amount_minor, 300);
    let last = events.last().unwrap().decode::<OrderRefunded>().unwrap();
    assert_eq!(last.amount.unwrap().amount_minor, 700);
    assert_eq!(last.refunded.unwrap().amount_minor, 3_000);
    assert_eq!(events.last().unwrap().sequence, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_once_never_give_back_more_than_was_captured() {
    let shop = Shop::open_with(|settings| settings.checkout_deadline_ms = 19_000).await;
    let (buyer, _, id) = shop.delivered().await;
    let support = shop.staff(Role::Support);
    let answers = join_all((0..12).map(|number: u32| {
        let (support, id) = (support.clone(), id.clone());
        async move { refund(&support, &id, &number.to_string(), json!({ "amount": usd(700) })).await }
    }))
    .await;
    let given = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        given,
        4,
        "{:?}",
        answers.iter().map(|answer| &answer.text).collect::<Vec<_>>()
    );
    for refused in answers.into_iter().filter(|answer| answer.status != 200) {
        refused.expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    }
    assert_eq!(shop.world.money_moves(&id, "refund"), 4);
    let order = buyer.order(&id).await;
    assert_eq!(
        (&order["status"], &order["refunded"]),
        (&json!("DELIVERED"), &usd(2_800))
    );
    // The same one at once: one refund, and answers that agree.
    let answers = join_all((0..8).map(|_| refund(&support, &id, "same", json!({ "amount": usd(50) })))).await;
    for answer in answers {
        assert_eq!(answer.expect(200).json["refunded"], usd(2_850));
    }
    assert_eq!(shop.world.money_moves(&id, "refund"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_goes_back_once_wherever_it_dies_and_whatever_is_lost() {
    let shop = Shop::open().await;
    let support = shop.staff(Role::Support);
    for site in [Site::OrderRefund, Site::OrderRefundRecord] {
        for point in [site.before(), site.after()] {
            let (buyer, _, id) = shop.delivered().await;
            shop.stop_at(point);
            let body = json!({ "amount": usd(1_000) });
            refund(&support, &id, &id, body.clone()).await;
            assert!(shop.has_stopped_at(point), "{point} was not reached");
            let order = ferrocart_test_kit::eventually("the part is back", || async {
                let order = buyer.order(&id).await;
                (order["refunded"] == usd(1_000)).then_some(order)
            })
            .await;
            assert_eq!(order["status"], "DELIVERED");
            assert_eq!(shop.world.money_moves(&id, "refund"), 1, "{point}");
            let again = refund(&support, &id, &id, body).await.expect(200);
            assert_eq!(again.json["refunded"], usd(1_000));
        }
    }
    for fault in [Fault::LostWith504, Fault::Twice, Fault::Lost] {
        let (buyer, _, id) = shop.delivered().await;
        shop.world.fail("refund", fault);
        refund(&support, &id, &id, json!({ "amount": usd(1_000) })).await;
        ferrocart_test_kit::eventually("the part is back", || async {
            (buyer.order(&id).await["refunded"] == usd(1_000)).then_some(())
        })
        .await;
        assert_eq!(shop.world.money_moves(&id, "refund"), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_or_asks_nonsense_is_told() {
    let shop = Shop::open().await;
    let (buyer, sku, id) = shop.delivered().await;
    let support = shop.staff(Role::Support);
    let some = json!({ "amount": usd(1) });
    for api in [buyer.api.clone(), shop.staff(Role::Warehouse)] {
        refund(&api, &id, "k", some.clone())
            .await
            .expect_problem(403, "FORBIDDEN");
    }
    support
        .put(&format!("/v1/orders/{id}/refund"), some)
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    for (body, field) in [
        (json!({ "amount": usd(0) }), "amount"),
        (
            json!({ "amount": { "amount_minor": 1, "currency": "EUR" } }),
            "amount.currency",
        ),
        (json!({ "items": [] }), "items"),
        (
            json!({ "items": [{ "sku_id": fresh(), "quantity": 1 }] }),
            "items[0].sku_id",
        ),
        (
            json!({ "items": [{ "sku_id": sku, "quantity": 0 }] }),
            "items[0].quantity",
        ),
        (
            json!({ "items": [{ "sku_id": sku, "quantity": 1 }], "amount": usd(1_001) }),
            "amount",
        ),
    ] {
        let refused = refund(&support, &id, "k", body)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.json["errors"][0]["field"], field);
    }
    assert_eq!(shop.world.count("refund"), 0);
    let (_, _, undelivered) = shop.confirmed().await;
    refund(&support, &undelivered, "k", json!({ "amount": usd(1) }))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
}
