use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::{PaymentCaptured, PaymentRefunded, PaymentVoided};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, hasty, usd};

#[tokio::test]
async fn a_capture_takes_the_money_once() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let first = desk.act(order, "capture", json!({})).await.expect(200);
    assert_eq!(first.json["status"], "CAPTURED");
    assert_eq!(first.json["captured"], usd(AMOUNT));
    let again = desk.act(order, "capture", json!({})).await.expect(200);
    assert_eq!(again.json, first.json);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other_key = desk
        .act_as("other", order, "capture", Value::Null)
        .await
        .expect(200);
    assert_eq!(other_key.json, first.json);
    desk.act_as("part", order, "capture", json!({ "amount": usd(1) }))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.act(order, "void", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.env
        .events(Topic::Payment)
        .find::<PaymentCaptured>(|event| event.payment.as_ref().unwrap().sequence == 2)
        .await;
    desk.assert_books().await;
}

#[tokio::test]
async fn a_part_can_be_captured_and_the_rest_is_let_go() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    for bad in [0, -1, AMOUNT + 1] {
        desk.act_as(
            &format!("bad{bad}"),
            order,
            "capture",
            json!({ "amount": usd(bad) }),
        )
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    }
    let euros = json!({ "amount": { "amount_minor": 1, "currency": "EUR" } });
    desk.act_as("eur", order, "capture", euros)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    let answer = desk.act(order, "capture", json!({ "amount": usd(4_000) })).await;
    let answer = answer.expect(200);
    assert_eq!(
        (&answer.json["status"], &answer.json["captured"]),
        (&json!("CAPTURED"), &usd(4_000))
    );
    desk.act(order, "refund", json!({ "amount": usd(4_001) }))
        .await
        .expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    desk.assert_books().await;
}

#[tokio::test]
async fn a_capture_whose_answer_is_lost_is_captured_exactly_once() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_sandbox_captureAnswerLost").await;
    let answers = join_all((0..5).map(|n| {
        let (desk, key) = (&desk, format!("k{n}"));
        async move { desk.act_as(&key, order, "capture", json!({})).await }
    }))
    .await;
    for answer in answers {
        assert_eq!(answer.expect(200).json["status"], "CAPTURED");
    }
    let intent = desk.psp.ledger().await.intent_of(order).clone();
    assert_eq!(
        (&intent["status"], &intent["amount_received"]),
        (&json!("succeeded"), &json!(AMOUNT))
    );
    desk.assert_books().await;
}

#[tokio::test]
async fn a_void_lets_go_and_is_repeatable() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let body = json!({ "reason": "RESERVATION_EXPIRED" });
    let first = desk.act(order, "void", body.clone()).await.expect(200);
    assert_eq!(first.json["status"], "VOIDED");
    assert_eq!(desk.act(order, "void", body).await.expect(200).json, first.json);
    assert_eq!(
        desk.act_as("other", order, "void", Value::Null)
            .await
            .expect(200)
            .json,
        first.json
    );
    desk.act(order, "capture", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.act(order, "refund", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    // Nobody may believe that the money is still held.
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    assert_eq!(desk.psp.ledger().await.intent_of(order)["status"], "canceled");
    desk.env
        .events(Topic::Payment)
        .find::<PaymentVoided>(|_| true)
        .await;
    desk.assert_books().await;
}

#[tokio::test]
async fn a_void_that_comes_first_keeps_the_order_from_being_paid() {
    let desk = Desk::open().await;
    let order = fresh();
    for _ in 0..2 {
        let answer = desk.act(order, "void", json!({})).await.expect(200);
        assert_eq!(answer.json["status"], "VOIDED");
    }
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.act(order, "capture", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    assert!(desk.psp.ledger().await.intents_of(order).is_empty());
    let path = format!("/internal/v1/payments/by-order/{order}");
    desk.api.get(&path).await.expect_problem(404, "PAYMENT_NOT_FOUND");
}

#[tokio::test]
async fn a_void_beside_an_authorization_never_leaves_money_held() {
    let desk = Desk::open().await;
    let orders: Vec<Uuid> = (0..20).map(|_| fresh()).collect();
    let answers = join_all(orders.iter().map(|order| async {
        tokio::join!(
            desk.authorize(*order, "pm_card_visa"),
            desk.act(*order, "void", json!({}))
        )
    }))
    .await;
    let ledger = desk.psp.ledger().await;
    for (order, (authorized, voided)) in orders.into_iter().zip(answers) {
        for intent in ledger.intents_of(order) {
            assert_eq!(
                intent["status"], "canceled",
                "{} {}",
                authorized.text, voided.text
            );
        }
        let again = desk
            .act_as(&format!("again:{order}"), order, "void", json!({}))
            .await;
        assert_eq!(again.expect(200).json["status"], "VOIDED");
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn captures_beside_voids_end_in_one_of_the_two() {
    let desk = Desk::open().await;
    for _ in 0..5 {
        let order = desk.authorized("pm_card_visa").await;
        let (capture, void) = tokio::join!(
            desk.act(order, "capture", json!({})),
            desk.act(order, "void", json!({}))
        );
        let statuses = (capture.status.as_u16(), void.status.as_u16());
        match desk.status(order).await.as_str() {
            "CAPTURED" => assert_eq!(statuses, (200, 409)),
            "VOIDED" => assert_eq!(statuses, (409, 200)),
            other => panic!("{other}"),
        }
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn money_goes_back_in_parts_and_each_key_is_one_refund() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    desk.act(order, "refund", json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.act(order, "capture", json!({})).await.expect(200);
    let part = json!({ "amount": usd(3_000) });
    for _ in 0..3 {
        let answer = desk.act_as("a", order, "refund", part.clone()).await.expect(200);
        assert_eq!(
            (&answer.json["status"], &answer.json["refunded"]),
            (&json!("CAPTURED"), &usd(3_000))
        );
    }
    desk.act_as("b", order, "refund", part.clone()).await.expect(200);
    desk.act_as("a", order, "refund", json!({ "amount": usd(1) }))
        .await
        .expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let rest = desk.act_as("rest", order, "refund", json!({})).await.expect(200);
    assert_eq!(
        (&rest.json["status"], &rest.json["refunded"]),
        (&json!("REFUNDED"), &usd(AMOUNT))
    );
    assert_eq!(
        desk.act_as("more", order, "refund", json!({}))
            .await
            .expect(200)
            .json,
        rest.json
    );
    desk.act_as("c", order, "refund", part)
        .await
        .expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    assert_eq!(desk.psp.ledger().await.refunds_of(order).len(), 3);
    let mut events = desk.env.events(Topic::Payment);
    let (_, last) = events
        .find::<PaymentRefunded>(|event| event.payment.as_ref().unwrap().sequence == 5)
        .await;
    assert_eq!(last.amount.unwrap().amount_minor, 4_000);
    desk.assert_books().await;
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_capture() {
    let desk = Desk::open().await;
    let order = desk.captured().await;
    let answers = join_all((0..12).map(|n| {
        let key = format!("r{n}");
        let desk = &desk;
        async move {
            desk.act_as(&key, order, "refund", json!({ "amount": usd(3_000) }))
                .await
        }
    }))
    .await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(taken.len(), 3, "{refused:?}");
    for answer in refused {
        answer.expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    }
    assert_eq!(desk.get(order).await["refunded"], usd(9_000));
    assert_eq!(desk.psp.ledger().await.refunds_of(order).len(), 3);
    desk.assert_books().await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_made_once() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.captured().await;
    desk.psp.faults(json!({ "drop_next": 1 })).await;
    let answer = desk
        .act(order, "refund", json!({ "amount": usd(2_500) }))
        .await
        .expect(200);
    assert_eq!(answer.json["refunded"], usd(2_500));
    assert_eq!(desk.psp.ledger().await.refunds_of(order).len(), 1);
    desk.assert_books().await;
}

#[tokio::test]
async fn a_partial_capture_whose_answer_is_lost_is_made_once_and_bounds_its_refunds() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_sandbox_captureAnswerLost").await;
    let part = json!({ "amount": usd(4_000) });
    let answer = desk.act(order, "capture", part.clone()).await.expect(200);
    assert_eq!(answer.json["captured"], usd(4_000));
    assert_eq!(
        desk.act(order, "capture", part).await.expect(200).json,
        answer.json
    );
    // What the provider let go with the capture is no refund.
    assert_eq!(answer.json["refunded"], usd(0));
    desk.act_as("rest", order, "capture", json!({ "amount": usd(6_000) }))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    desk.act(order, "refund", json!({ "amount": usd(4_001) }))
        .await
        .expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    desk.assert_books().await;
}

/// Every third answer is lost, and every refund is asked for twice at the same time.
#[tokio::test]
async fn partial_refunds_at_once_with_lost_answers_stay_within_a_partial_capture() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_card_visa").await;
    desk.act(order, "capture", json!({ "amount": usd(4_000) }))
        .await
        .expect(200);
    desk.psp.faults(json!({ "drop_every": 3 })).await;
    let keys: Vec<String> = (0..16).map(|n| format!("r{}", n / 2)).collect();
    let ask = |key: String| {
        let desk = &desk;
        async move {
            // What is unknown or busy is asked for again under its key, as a client would.
            ferrocart_test_kit::eventually("an answer", || async {
                let answer = desk
                    .act_as(&key, order, "refund", json!({ "amount": usd(1_500) }))
                    .await;
                (!answer.status.is_server_error()).then_some((key.clone(), answer.status.as_u16()))
            })
            .await
        }
    };
    let answers = join_all(keys.into_iter().map(ask)).await;
    let taken: std::collections::BTreeSet<_> = answers
        .iter()
        .filter(|(_, status)| *status == 200)
        .map(|(key, _)| key)
        .collect();
    assert_eq!(taken.len(), 2, "{answers:?}");
    assert!(
        answers.iter().all(|(_, status)| [200, 409].contains(status)),
        "{answers:?}"
    );
    desk.psp.faults(json!({ "drop_every": 0 })).await;
    assert_eq!(desk.get(order).await["refunded"], usd(3_000));
    assert_eq!(desk.psp.ledger().await.refunds_of(order).len(), 2);
    desk.assert_books().await;
}

#[tokio::test]
async fn what_was_refunded_at_the_providers_own_desk_counts() {
    let desk = Desk::open().await;
    let order = desk.captured().await;
    let intent = desk.psp.ledger().await.intent_of(order)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    desk.psp
        .post("/v1/refunds", &[("payment_intent", &intent), ("amount", "9000")])
        .await;
    desk.act(order, "refund", json!({ "amount": usd(5_000) }))
        .await
        .expect_problem(409, "REFUND_EXCEEDS_CAPTURED");
    assert_eq!(
        desk.get(order).await["refunded"],
        usd(9_000),
        "the refusal told us"
    );
    desk.assert_books().await;
}

/// Small and seeded: the seed is printed, and the same one does the same again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test]
async fn the_books_balance_after_any_sequence_of_operations() {
    let desk = Desk::open_with(hasty).await;
    let seed = u64::try_from(crate::desk::now()).unwrap();
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let methods = [
        "pm_card_visa",
        "pm_card_chargeDeclined",
        "pm_sandbox_captureAnswerLost",
    ];
    for _ in 0..15 {
        let order = fresh();
        for step in 0..8 {
            if dice.roll(4) == 0 {
                desk.psp.faults(json!({ "drop_next": dice.roll(3) })).await;
            }
            let key = format!("{step}:{order}");
            let part = json!({ "amount": usd(1 + i64::try_from(dice.roll(6_000)).unwrap()) });
            let answer = match dice.roll(10) {
                0..=3 => {
                    let method = methods[usize::try_from(dice.roll(3)).unwrap()];
                    desk.authorize_as(&key, order, method).await
                }
                4 => desk.act_as(&key, order, "void", json!({})).await,
                5..=6 => desk.act_as(&key, order, "capture", json!({})).await,
                7 => desk.act_as(&key, order, "capture", part).await,
                _ => desk.act_as(&key, order, "refund", part).await,
            };
            assert_ne!(answer.status.as_u16(), 500, "{}", answer.text);
        }
    }
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    ferrocart_test_kit::eventually("everything has ended", || async {
        (desk.payments.recover().await.unwrap() == 0 && open_operations(&desk).await == 0).then_some(())
    })
    .await;
    desk.assert_books().await;
}

async fn open_operations(desk: &Desk) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM payment_operations WHERE state IN ('STARTED', 'UNKNOWN')")
        .fetch_one(desk.pool())
        .await
        .unwrap()
}
