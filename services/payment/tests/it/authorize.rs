use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::{PaymentAuthorized, PaymentDeclined};
use futures::future::{join, join_all};
use serde_json::json;
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, hasty, usd};

#[tokio::test]
async fn an_order_is_authorized_once_and_repeats_get_the_same_answer() {
    let desk = Desk::open().await;
    let order = fresh();
    let first = desk.authorize(order, "pm_card_visa").await.expect(201);
    assert_eq!(first.json["status"], "AUTHORIZED");
    assert_eq!(first.json["authorized"], usd(AMOUNT));
    assert_eq!(first.json["captured"], usd(0));
    assert!(first.json["capture_before"].is_string(), "{}", first.text);
    assert!(first.headers.get("idempotent-replayed").is_none());
    let again = desk.authorize(order, "pm_card_visa").await.expect(201);
    assert_eq!(again.json, first.json);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other_key = desk
        .authorize_as("other", order, "pm_card_visa")
        .await
        .expect(201);
    assert_eq!(other_key.json, first.json);

    desk.authorize(order, "pm_card_mastercard")
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    desk.authorize_as("third", order, "pm_card_mastercard")
        .await
        .expect_problem(409, "PAYMENT_EXISTS");
    let intent = desk.psp.ledger().await.intent_of(order).clone();
    assert_eq!(intent["status"], "requires_capture");
    assert_eq!(intent["capture_method"], "manual");
    assert_eq!(intent["metadata"]["payment_id"], first.json["payment_id"]);

    let mut events = desk.env.events(Topic::Payment);
    let (envelope, event) = events.find::<PaymentAuthorized>(|_| true).await;
    let payment = event.payment.unwrap();
    assert_eq!(envelope.subject, order.to_string());
    assert_eq!(
        (payment.sequence, payment.amount.unwrap().amount_minor),
        (1, AMOUNT)
    );
    assert!(event.capture_before.is_some());
    desk.assert_books().await;
}

/// Those that are written in one batch answer for themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_authorized_each_once_and_one_that_is_refused_harms_nobody() {
    let desk = &Desk::open().await;
    let spent = fresh();
    desk.authorize(spent, "pm_card_visa").await.expect(201);
    let orders: Vec<_> = (0..60).map(|_| fresh()).collect();
    // Every tenth order is sent twice, under two keys; every tenth request bears a key that is another's.
    let once = orders.iter().map(|order| desk.authorize(*order, "pm_card_visa"));
    let twice = orders.iter().step_by(10).map(|order| async move {
        desk.authorize_as(&format!("again:{order}"), *order, "pm_card_visa")
            .await
    });
    let key = format!("authorize:{spent}");
    let refused: Vec<_> = (0..6).map(|_| fresh()).collect();
    let foreign = refused
        .iter()
        .map(|order| desk.authorize_as(&key, *order, "pm_card_visa"));
    let (once, (twice, foreign)) = join(join_all(once), join(join_all(twice), join_all(foreign))).await;
    for answer in once.into_iter().chain(twice) {
        answer.expect(201);
    }
    for answer in foreign {
        answer.expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    let ledger = desk.psp.ledger().await;
    assert!(orders.iter().all(|order| ledger.intents_of(*order).len() == 1));
    assert!(refused.iter().all(|order| ledger.intents_of(*order).is_empty()));
    desk.assert_books().await;
}

#[tokio::test]
async fn every_decline_is_told_with_its_code_and_stays() {
    let desk = Desk::open().await;
    for (method, code) in [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
        (
            "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
            "card_velocity_exceeded",
        ),
        ("pm_card_chargeDeclinedFraudulent", "fraudulent"),
    ] {
        let order = fresh();
        for _ in 0..2 {
            let answer = desk.authorize(order, method).await;
            let answer = answer.expect_problem(402, "PAYMENT_DECLINED");
            assert_eq!(answer.json["decline_code"], code, "{method}");
            assert_eq!(answer.json["retryable"], false);
        }
        let payment = desk.get(order).await;
        assert_eq!(
            (&payment["status"], &payment["decline_code"]),
            (&json!("DECLINED"), &json!(code))
        );
        assert_eq!(desk.psp.ledger().await.intents_of(order).len(), 1);
        // Nothing is held, so there is nothing to void.
        assert_eq!(
            desk.act(order, "void", json!({})).await.expect(200).json["status"],
            "DECLINED"
        );
        desk.act(order, "capture", json!({}))
            .await
            .expect_problem(409, "INVALID_TRANSITION");
    }
    let mut events = desk.env.events(Topic::Payment);
    let lost_card = |event: &PaymentDeclined| event.decline_code == "lost_card";
    events.find::<PaymentDeclined>(lost_card).await;
    desk.assert_books().await;
}

#[tokio::test]
async fn card_numbers_are_refused_and_never_repeated() {
    let desk = Desk::open().await;
    for card in [
        json!("4242424242424242"),
        json!("4242 4242 4242 4242"),
        json!(4_242_424_242_424_242_i64),
        json!("pm_4242424242424242"),
        json!("6304000000000000019"),
    ] {
        let order = fresh();
        let body = json!({ "order_id": order, "customer_id": fresh(), "amount": usd(AMOUNT), "payment_method": card });
        let answer = desk.api.post_once("/internal/v1/payments", "k", body).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], "payment_method");
        assert!(
            !answer.text.contains("4242") && !answer.text.contains("0000019"),
            "{}",
            answer.text
        );
        assert!(desk.psp.ledger().await.intents_of(order).is_empty());
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM payments")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let desk = Desk::open().await;
    let unknown = desk.authorize(fresh(), "pm_nobody").await;
    unknown.expect_problem(400, "INVALID_PAYMENT_METHOD");
    let good = json!({ "order_id": fresh(), "customer_id": fresh(), "amount": usd(AMOUNT), "payment_method": "pm_card_visa" });
    desk.api
        .post("/internal/v1/payments", &good)
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    for (field, value) in [
        ("amount", usd(0)),
        ("amount", usd(-5)),
        ("order_id", json!("x")),
        ("payment_method", json!("visa")),
        ("card", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let answer = desk.api.post_once("/internal/v1/payments", "bad", bad).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], field);
    }
    // Below the provider's minimum: its own no, with its own code.
    let mut small = good;
    small["amount"] = usd(1);
    let answer = desk.api.post_once("/internal/v1/payments", "small", small).await;
    let answer = answer.expect_problem(422, "PAYMENT_REFUSED");
    assert_eq!(answer.json["provider_code"], "amount_too_small");
}

#[tokio::test]
async fn fifty_at_once_make_one_intent_and_agree() {
    let desk = Desk::open().await;
    let order = fresh();
    let keys: Vec<String> = (0..50).map(|n| format!("key-{}", n % 25)).collect();
    let answers = join_all(
        keys.iter()
            .map(|key| desk.authorize_as(key, order, "pm_card_visa")),
    )
    .await;
    let first = answers[0].json["payment_id"].clone();
    for answer in answers {
        let answer = answer.expect(201);
        assert_eq!(answer.json["payment_id"], first);
        assert_eq!(answer.json["status"], "AUTHORIZED");
    }
    desk.psp.ledger().await.intent_of(order);
    desk.assert_books().await;
}

#[tokio::test]
async fn a_slow_provider_is_waited_for() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_sandbox_slow3s").await;
    assert_eq!(desk.status(order).await, "AUTHORIZED");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_asked_for() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_sandbox_slow3s").await;
    desk.psp.ledger().await.intent_of(order);
    desk.assert_books().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_asked_for_with_the_same_key() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_sandbox_noAnswer").await;
    desk.psp.ledger().await.intent_of(order);
    let tries: i32 = sqlx::query_scalar("SELECT attempt FROM payment_operations WHERE state = 'SUCCEEDED'")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(tries, 2, "the first try heard nothing, the second one asked");
}

#[tokio::test]
async fn answers_lost_in_a_row_never_make_a_second_intent() {
    let desk = Desk::open_with(hasty).await;
    let order = fresh();
    desk.psp.faults(json!({ "drop_next": 3 })).await;
    let answer = desk.authorize(order, "pm_card_visa").await;
    let answer = answer.expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    assert_eq!(answer.json["retryable"], true);
    assert_eq!(desk.status(order).await, "PENDING");
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    desk.authorize(order, "pm_card_visa").await.expect(201);
    desk.psp.ledger().await.intent_of(order);
    desk.assert_books().await;
}

#[tokio::test]
async fn a_provider_that_fails_is_no_decline() {
    let desk = Desk::open_with(hasty).await;
    for status in [500, 503] {
        let order = fresh();
        desk.psp
            .faults(json!({ "fail_next": { "count": 4, "status": status } }))
            .await;
        desk.authorize(order, "pm_card_visa")
            .await
            .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
        desk.psp
            .faults(json!({ "fail_next": { "count": 0, "status": status } }))
            .await;
        desk.authorize(order, "pm_card_visa").await.expect(201);
    }
    let order = fresh();
    desk.psp
        .faults(json!({ "fail_next": { "count": 1, "status": 429 } }))
        .await;
    let limited = desk.authorize(order, "pm_card_visa").await;
    let limited = limited.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    assert!(limited.headers.contains_key("retry-after"));
    desk.authorize(order, "pm_card_visa").await.expect(201);
    desk.psp.ledger().await.intent_of(order);
}

#[tokio::test]
async fn the_database_refuses_what_the_code_should_never_try() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    for statement in [
        "UPDATE payments SET captured_minor = amount_minor + 1, status = 'CAPTURED'",
        "UPDATE payments SET refunded_minor = 1",
        "UPDATE payments SET status = 'CAPTURED'",
        "UPDATE payments SET payment_method = 'pm_4242424242424242'",
        "UPDATE ledger_entries SET amount_minor = 1",
        "DELETE FROM ledger_entries",
        "INSERT INTO ledger_entries SELECT payment_id, 99, 1, 'CAPTURE', 'HELD', 5, 'USD', now() FROM payments",
        "INSERT INTO payments SELECT gen_random_uuid(), order_id, customer_id, amount_minor, currency, payment_method,
           'PENDING', NULL, 0, 0, 0, NULL, NULL, NULL, NULL, 0, now(), now() FROM payments",
        "INSERT INTO payment_operations SELECT gen_random_uuid(), payment_id, 'VOID', n::text, NULL, 'STARTED', NULL, 1,
           now(), now(), now(), NULL FROM payments, generate_series(1, 2) n",
    ] {
        let outcome = sqlx::query(statement).execute(desk.pool()).await;
        let state = outcome.unwrap_err().into_database_error().unwrap();
        assert!(state.code().unwrap().starts_with("23"), "{statement}: {state}");
    }
    let payment_id: Uuid = desk.get(order).await["payment_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(!payment_id.is_nil());
    desk.assert_books().await;
}
