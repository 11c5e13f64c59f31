use std::time::{Duration, Instant};

use ferrocart_test_kit::eventually;
use futures::future::join_all;
use serde_json::json;

use crate::desk::{Desk, fresh, hasty};

#[tokio::test]
async fn five_timeouts_open_the_breaker_and_a_probe_closes_it() {
    let desk = Desk::open_with(|settings| {
        hasty(settings);
        settings.psp.psp_breaker_failures_max = 5;
        settings.psp.psp_breaker_open_ms = 2_000;
    })
    .await;
    let held = desk.authorized("pm_card_visa").await;
    desk.psp.faults(json!({ "hang": true })).await;
    let orders: Vec<_> = (0..5).map(|_| fresh()).collect();
    let answers = join_all(orders.iter().map(|order| desk.authorize(*order, "pm_card_visa"))).await;
    assert!(answers.iter().all(|answer| answer.status.is_server_error()));

    let fresh_order = fresh();
    let started = Instant::now();
    let refused = desk.authorize(fresh_order, "pm_card_visa").await;
    let refused = refused.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    assert!(started.elapsed() < Duration::from_millis(300), "at once");
    let retry_after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&retry_after));
    let path = format!("/internal/v1/payments/by-order/{fresh_order}");
    desk.api.get(&path).await.expect_problem(404, "PAYMENT_NOT_FOUND");
    // What is known needs no provider; what needs it is told so.
    assert_eq!(desk.status(held).await, "AUTHORIZED");
    desk.authorize(held, "pm_card_visa").await.expect(201);
    desk.act(held, "capture", json!({}))
        .await
        .expect_problem(503, "DEPENDENCY_UNAVAILABLE");

    desk.psp.faults(json!({ "hang": false })).await;
    eventually("the breaker closes", || async {
        (desk.authorize(fresh_order, "pm_card_visa").await.status == 201).then_some(())
    })
    .await;
    desk.act(held, "capture", json!({})).await.expect(200);
    // What was under way ends rightly, with one intent each.
    for order in orders {
        desk.authorize(order, "pm_card_visa").await.expect(201);
        desk.psp.ledger().await.intent_of(order);
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn a_provider_that_is_not_there_costs_nothing_and_leaves_nothing_behind() {
    let desk = Desk::open_with(|settings| {
        hasty(settings);
        // Reserved, never listening.
        settings.psp.psp_url = "http://127.0.0.1:1".to_owned();
    })
    .await;
    let order = fresh();
    for _ in 0..2 {
        desk.authorize(order, "pm_card_visa")
            .await
            .expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    }
    // Never sent, so there is nothing to ask the provider for.
    let voided = desk.act(order, "void", json!({})).await.expect(200);
    assert_eq!(voided.json["status"], "VOIDED");
    assert_eq!(desk.payments.recover().await.unwrap(), 0);
}

#[tokio::test]
async fn a_crowd_waits_its_turn_or_is_told_to_come_again() {
    let desk = Desk::open_with(|settings| {
        settings.psp.psp_concurrency_max = 2;
        settings.psp.psp_queue_timeout_ms = 100;
    })
    .await;
    desk.psp.faults(json!({ "latency_ms": 300 })).await;
    let orders: Vec<_> = (0..12).map(|_| fresh()).collect();
    let answers = join_all(orders.iter().map(|order| desk.authorize(*order, "pm_card_visa"))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert!(!taken.is_empty() && !refused.is_empty());
    for answer in refused {
        answer.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    }
    desk.psp.faults(json!({ "latency_ms": 0 })).await;
    for order in orders {
        desk.authorize(order, "pm_card_visa").await.expect(201);
        desk.psp.ledger().await.intent_of(order);
    }
}
