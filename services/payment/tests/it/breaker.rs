use std::time::{Duration, Instant};

use ferrocart_test_kit::eventually;
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

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

/// Authorizations, captures, voids and refunds meet a provider that falls silent, and one that is healed.
#[tokio::test]
async fn a_brownout_loses_nothing_and_everything_ends_rightly() {
    let desk = Desk::open_with(|settings| {
        hasty(settings);
        settings.psp.psp_breaker_failures_max = 5;
        settings.psp.psp_breaker_open_ms = 1_000;
        settings.recovery_interval_ms = 100;
    })
    .await;
    let (mut to_capture, mut to_void, mut to_refund) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        to_capture.push(desk.authorized("pm_card_visa").await);
        to_void.push(desk.authorized("pm_card_visa").await);
        to_refund.push(desk.captured().await);
    }
    let fresh_orders: Vec<_> = (0..20).map(|_| fresh()).collect();
    desk.psp.faults(json!({ "hang": true })).await;
    let part = json!({ "amount": crate::desk::usd(2_500) });
    let (authorized, captured, voided, refunded) = tokio::join!(
        join_all(
            fresh_orders
                .iter()
                .map(|order| desk.authorize(*order, "pm_card_visa"))
        ),
        join_all(
            to_capture
                .iter()
                .map(|order| desk.act(*order, "capture", json!({})))
        ),
        join_all(to_void.iter().map(|order| desk.act(*order, "void", json!({})))),
        join_all(
            to_refund
                .iter()
                .map(|order| desk.act(*order, "refund", part.clone()))
        ),
    );
    let answers = [authorized, captured, voided, refunded].concat();
    assert!(
        answers
            .iter()
            .all(|answer| [503, 504].contains(&answer.status.as_u16()))
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.headers.contains_key("retry-after"))
    );
    // What is known is told at once all the while.
    let started = Instant::now();
    for order in &to_capture {
        assert_eq!(desk.status(*order).await, "AUTHORIZED");
    }
    assert!(started.elapsed() < Duration::from_secs(1));

    desk.psp.faults(json!({ "hang": false })).await;
    let underway = Underway {
        authorizations: fresh_orders,
        captures: to_capture,
        voids: to_void,
        refunds: to_refund,
    };
    all_end_rightly(&desk, underway, &part).await;
}

struct Underway {
    authorizations: Vec<Uuid>,
    captures: Vec<Uuid>,
    voids: Vec<Uuid>,
    refunds: Vec<Uuid>,
}

async fn all_end_rightly(desk: &Desk, underway: Underway, part: &serde_json::Value) {
    let again = |order, verb: &'static str, body: serde_json::Value| async move {
        eventually("the same request comes through", || async {
            (desk.act(order, verb, body.clone()).await.status == 200).then_some(())
        })
        .await;
    };
    for order in underway.authorizations {
        eventually("authorized", || async {
            (desk.authorize(order, "pm_card_visa").await.status == 201).then_some(())
        })
        .await;
        assert_eq!(
            desk.psp.ledger().await.intent_of(order)["status"],
            "requires_capture"
        );
    }
    for order in underway.captures {
        again(order, "capture", json!({})).await;
        assert_eq!(desk.status(order).await, "CAPTURED");
    }
    // Nobody need ask again for a void: the wish stands.
    for order in underway.voids {
        eventually("voided", || async {
            (desk.status(order).await == "VOIDED").then_some(())
        })
        .await;
        assert_eq!(desk.psp.ledger().await.intent_of(order)["status"], "canceled");
    }
    for order in underway.refunds {
        again(order, "refund", part.clone()).await;
        assert_eq!(desk.psp.ledger().await.refunds_of(order).len(), 1, "once");
    }
    desk.assert_books().await;
}
