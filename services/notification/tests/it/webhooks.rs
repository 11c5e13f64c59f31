//! What merchants are told, received by servers of their own.

use std::collections::HashSet;

use ferrocart_contracts::v1::{Order, Product, StockLow};
use ferrocart_test_kit::eventually;
use serde_json::json;

use crate::merchant::{Merchant, change, genuine, order_of, upserted};
use crate::reader::Email;
use crate::receiver::{Answer, Receiver, Request};
use crate::support::{Office, cancelled, confirmed, delivered, fresh, next, refunded, shipped};

fn types(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| request.json()["type"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_is_told_of_what_is_theirs_alone_and_can_verify_it() {
    let office = Office::open().await;
    let (ada, bob) = (Merchant::new(&office), Merchant::new(&office));
    let (to_ada, to_bob) = (Receiver::start().await, Receiver::start().await);
    let filter = json!([
        "order.confirmed",
        "order.refunded",
        "order.cancelled",
        "stock.low"
    ]);
    let of_ada = ada
        .endpoint(json!({"url": to_ada.url("/ada"), "event_types": filter}))
        .await;
    let of_bob = bob.endpoint(json!({"url": to_bob.url("/bob?x=1")})).await;
    let (hat, shoe) = (bob.product(), ada.product());
    let mixed = order_of(&[&shoe, &hat]);
    let again = office.tell(&confirmed(&mixed)).await;
    // The order is here before the catalog has said whose its products are.
    office.tell(&upserted(&hat)).await;
    office.tell(&upserted(&shoe)).await;
    let bobs = order_of(&[&hat]);
    office.tell(&confirmed(&bobs)).await;
    office.publish(&again, ferrocart_contracts::Topic::Order).await;
    let sku = &shoe.variants[0].sku_id;
    let low = StockLow {
        sku_id: sku.clone(),
        available: 2,
        threshold: 5,
        version: 9,
    };
    office.tell(&low).await;
    // Nobody was told that this one was confirmed, because it never was.
    office
        .tell(&cancelled(&order_of(&[&shoe]), "PAYMENT_DECLINED"))
        .await;
    office.tell(&refunded(&next(&mixed))).await;
    office.tell(&refunded(&next(&bobs))).await;
    office.tell(&cancelled(&next(&mixed), "PICK_FAILED")).await;

    let adas = ada.settled(&of_ada, "DELIVERED", 4).await;
    let ids: HashSet<&str> = adas
        .iter()
        .map(|item| item["message_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 4);
    // product.updated, two confirmed, two refunded, one cancelled.
    bob.settled(&of_bob, "DELIVERED", 6).await;
    let requests = to_ada.requests();
    let mut told = types(&requests);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "order.cancelled",
            "order.confirmed",
            "order.refunded",
            "stock.low"
        ]
    );
    for request in &requests {
        assert!(ids.contains(request.header("webhook-id")));
        says_what_is_hers(request, &mixed, &shoe, &hat);
    }
    let of_his_own = to_bob.requests().into_iter().find(|request| {
        let told = request.json();
        told["type"] == "order.refunded" && told["data"]["order_id"] == bobs.order_id
    });
    assert_eq!(
        of_his_own.unwrap().json()["data"]["amount"]["amount_minor"],
        1_005
    );
    only_what_we_signed_is_genuine(&of_ada.secret, &of_bob.secret, &requests);
}

fn says_what_is_hers(request: &Request, mixed: &Order, shoe: &Product, hat: &Product) {
    assert_eq!(request.path, "/ada");
    assert_eq!(request.header("content-type"), "application/json");
    for foreign in [&hat.product_id, "ada.lovelace", &mixed.customer_id] {
        assert!(!request.body.contains(foreign), "{foreign}: {}", request.body);
    }
    let told = request.json();
    assert!(told["timestamp"].is_string());
    match told["type"].as_str().unwrap() {
        "order.confirmed" => {
            assert_eq!(told["data"]["order_id"], mixed.order_id);
            assert_eq!(told["data"]["complete"], false);
            assert_eq!(told["data"]["items"][0]["product_id"], shoe.product_id);
            assert_eq!(told["data"]["items"][0]["unit_price"]["amount_minor"], 129_999);
        }
        // How much went back of whose part, the event does not say.
        "order.refunded" => assert!(told["data"].get("amount").is_none()),
        "stock.low" => assert_eq!(told["data"]["product_id"], shoe.product_id),
        _ => assert_eq!(told["data"]["reason"], "PICK_FAILED"),
    }
}

fn only_what_we_signed_is_genuine(ours: &str, other: &str, requests: &[Request]) {
    let mut forged = requests[0].clone();
    forged.body = forged.body.replace("order", "0rder").replace("stock", "st0ck");
    let mut other_id = requests[0].clone();
    other_id
        .headers
        .insert("webhook-id".to_owned(), fresh().to_string());
    let mut old = requests[0].clone();
    old.headers
        .insert("webhook-timestamp".to_owned(), "1700000000".to_owned());
    let mut cases: Vec<(&str, &Request)> = requests.iter().map(|request| (ours, request)).collect();
    cases.extend([&forged, &other_id, &old].map(|request| (ours, request)));
    cases.push((other, &requests[0]));
    if let Some(genuine) = genuine(&cases) {
        assert_eq!(genuine, [true, true, true, true, false, false, false, false]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_with_the_same_id_and_all_of_it_stands_in_the_log() {
    let office = Office::open().await;
    let ada = Merchant::new(&office);
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let moved: &'static str = format!("location: {}\r\n", elsewhere.url("/")).leak();
    receiver.answer(move |before| match before {
        0 => Answer::Status(500, ""),
        1 => Answer::Status(302, moved),
        2 => Answer::Silence,
        _ => Answer::Status(200, ""),
    });
    let endpoint = ada.endpoint(json!({"url": receiver.url("/")})).await;
    let started = ada
        .api
        .post(&format!("{}/test", endpoint.path), json!({}))
        .await
        .expect(202)
        .json;
    ada.settled(&endpoint, "DELIVERED", 1).await;
    let delivery = format!(
        "{}/deliveries/{}",
        endpoint.path,
        started["delivery_id"].as_str().unwrap()
    );
    let log = ada.api.get(&delivery).await.expect(200).json;
    assert_eq!(log["event_type"], "webhook.test");
    assert_eq!(log["body"]["data"]["endpoint_id"], endpoint.id);
    let tries: Vec<(Option<u64>, Option<&str>)> = log["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["status_code"].as_u64(), attempt["error"].as_str()))
        .collect();
    assert_eq!(
        tries,
        [
            (Some(500), Some("it did not answer with 2xx")),
            (Some(302), Some("redirects are not followed")),
            (None, Some("no answer in time")),
            (Some(200), None)
        ]
    );
    let requests = receiver.requests();
    let ids: HashSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!((requests.len(), ids.len()), (4, 1));
    assert!(elsewhere.requests().is_empty());

    // Once more on request, as the same message.
    let again = ada
        .api
        .post(&format!("{delivery}/redeliver"), json!({}))
        .await
        .expect(202)
        .json;
    assert_ne!(again["delivery_id"], started["delivery_id"]);
    ada.settled(&endpoint, "DELIVERED", 2).await;
    let requests = receiver.requests();
    assert_eq!(requests[4].header("webhook-id"), requests[0].header("webhook-id"));
    assert_eq!(requests[4].body, requests[0].body);
    assert_eq!(ada.deliveries(&endpoint, "status=FAILED").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_holds_up_no_other() {
    let office = Office::open_with(|settings| {
        settings.webhooks.timeout_ms = 60_000;
        settings.webhooks.lease_ms = 120_000;
        settings.webhooks.under_way_max = 6;
    })
    .await;
    let ada = Merchant::new(&office);
    let (silent, quick) = (Receiver::start().await, Receiver::start().await);
    silent.answer(|_| Answer::Silence);
    let to_silent = ada.endpoint(json!({"url": silent.url("/")})).await;
    let test = format!("{}/test", to_silent.path);
    for _ in 0..20 {
        ada.api.post(&test, json!({})).await.expect(202);
    }
    silent.until(2).await;
    let to_quick = ada.endpoint(json!({"url": quick.url("/")})).await;
    let test = format!("{}/test", to_quick.path);
    for _ in 0..20 {
        ada.api.post(&test, json!({})).await.expect(202);
    }
    ada.settled(&to_quick, "DELIVERED", 20).await;
    assert_eq!(quick.requests().len(), 20);
    assert_eq!(silent.requests().len(), 2, "no more than its share");
    assert_eq!(silent.waiting_max(), 2);
    assert_eq!(ada.deliveries(&to_silent, "status=PENDING").await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_keeps_failing_is_disabled_and_its_owner_is_told() {
    let office = Office::open_with(|settings| {
        settings.webhooks.disable_after_hours = 0;
        settings.webhooks.disable_after_failures = 3;
    })
    .await;
    let ada = Merchant::new(&office);
    let receiver = Receiver::start().await;
    receiver.answer(|_| Answer::Status(503, ""));
    let endpoint = ada.endpoint(json!({"url": receiver.url("/")})).await;
    let test = format!("{}/test", endpoint.path);
    ada.api.post(&test, json!({})).await.expect(202);
    let failed = ada.settled(&endpoint, "FAILED", 1).await;
    let shown = ada.api.get(&endpoint.path).await.expect(200).json;
    assert_eq!(
        (&shown["status"], &shown["disabled_reason"]),
        (&json!("DISABLED"), &json!("FAILING"))
    );
    assert!(shown["failing_since"].is_string());
    assert_eq!(receiver.requests().len(), 3);
    let mail = eventually("an e-mail", || async {
        let files = office.files();
        let file = files
            .iter()
            .find(|file| file.extension().is_some_and(|kind| kind == "eml"));
        file.map(|file| Email::parse(&std::fs::read(file).unwrap()))
    })
    .await;
    assert!(mail.header("subject").contains("no longer gets webhooks"));
    assert!(mail.text().contains(&receiver.url("/")) && mail.text().contains(&endpoint.id));
    assert!(mail.html().contains(&endpoint.id));

    let redeliver = format!(
        "{}/deliveries/{}/redeliver",
        endpoint.path,
        failed[0]["delivery_id"].as_str().unwrap()
    );
    ada.api
        .post(&redeliver, json!({}))
        .await
        .expect_problem(409, "ENDPOINT_DISABLED");
    ada.api
        .post(&test, json!({}))
        .await
        .expect_problem(409, "ENDPOINT_DISABLED");
    receiver.answer(|_| Answer::Status(200, ""));
    let enabled = change(&ada, &endpoint, json!({"status": "ENABLED"})).await;
    assert_eq!(
        (&enabled["status"], &enabled["failing_since"]),
        (&json!("ENABLED"), &json!(null))
    );
    ada.api.post(&redeliver, json!({})).await.expect(202);
    eventually("the redelivery", || async {
        let items = ada.deliveries(&endpoint, "status=DELIVERED").await;
        (items.len() == 1).then_some(())
    })
    .await;

    // Who says that it is gone is believed at once.
    receiver.answer(|_| Answer::Status(410, ""));
    ada.api.post(&test, json!({})).await.expect(202);
    eventually("a disabled endpoint", || async {
        let shown = ada.api.get(&endpoint.path).await.expect(200).json;
        (shown["disabled_reason"] == "GONE").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_sign_while_one_takes_over_from_the_other() {
    let office = Office::open().await;
    let ada = Merchant::new(&office);
    let receiver = Receiver::start().await;
    let endpoint = ada.endpoint(json!({"url": receiver.url("/")})).await;
    let rotated = ada
        .api
        .post(&format!("{}/rotate", endpoint.path), json!({}))
        .await
        .expect(200)
        .json;
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, endpoint.secret);
    let test = format!("{}/test", endpoint.path);
    ada.api.post(&test, json!({})).await.expect(202);
    receiver.until(1).await;
    sqlx::query("UPDATE webhook_endpoints SET previous_until = now()")
        .execute(&office.pool)
        .await
        .unwrap();
    ada.api.post(&test, json!({})).await.expect(202);
    let requests = receiver.until(2).await;
    let signatures = |request: &Request| request.header("webhook-signature").split(' ').count();
    assert_eq!((signatures(&requests[0]), signatures(&requests[1])), (2, 1));
    let old = endpoint.secret.as_str();
    let cases = [
        (old, &requests[0]),
        (new, &requests[0]),
        (old, &requests[1]),
        (new, &requests[1]),
    ];
    if let Some(genuine) = genuine(&cases) {
        assert_eq!(genuine, [true, true, false, true]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_and_deliver_nothing_twice() {
    let mut office = Office::open().await;
    office.start();
    let ada = Merchant::new(&office);
    let receiver = Receiver::start().await;
    let endpoint = ada
        .endpoint(json!({"url": receiver.url("/"), "event_types": ["order.shipped", "order.delivered"]}))
        .await;
    let shoe = ada.product();
    office.tell(&upserted(&shoe)).await;
    for _ in 0..20 {
        let bought = order_of(&[&shoe]);
        office.tell(&shipped(&bought)).await;
        office.tell(&delivered(&next(&bought))).await;
    }
    let items = ada.settled(&endpoint, "DELIVERED", 40).await;
    assert!(items.iter().all(|item| item["attempts"] == 1));
    assert_eq!(receiver.requests().len(), 40);
}
