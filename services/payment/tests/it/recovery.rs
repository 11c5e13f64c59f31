use ferrocart_contracts::v1::{Order, OrderCancelled, OrderPlaced};
use ferrocart_test_kit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, hasty, usd};

/// What a process leaves behind that dies before it asks the provider, or before it writes down what
/// the provider said.
async fn crashed_authorization(desk: &Desk, order: Uuid, payment: Uuid) {
    sqlx::query(
        "WITH slot AS (INSERT INTO order_slots (order_id, payment_id, created_at) VALUES ($2, $1, now())),
           payment AS (
             INSERT INTO payments (payment_id, order_id, customer_id, amount_minor, currency, payment_method, status,
               created_at, updated_at)
             VALUES ($1, $2, $1, $3, 'USD', 'pm_card_visa', 'PENDING', now(), now()) RETURNING payment_id)
         INSERT INTO payment_operations (operation_id, payment_id, kind, provider_key, state, leased_until, next_try_at,
           created_at)
         SELECT gen_random_uuid(), payment_id, 'AUTHORIZE', $4, 'STARTED', now(), now(), now() FROM payment",
    )
    .bind(payment)
    .bind(order)
    .bind(AMOUNT)
    .bind(format!("order:{order}:authorize"))
    .execute(desk.pool())
    .await
    .unwrap();
}

async fn operations(desk: &Desk, order: Uuid) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT kind, state FROM payment_operations JOIN payments USING (payment_id) WHERE order_id = $1
         ORDER BY payment_operations.created_at",
    )
    .bind(order)
    .fetch_all(desk.pool())
    .await
    .unwrap()
}

fn pair(kind: &str, state: &str) -> (String, String) {
    (kind.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_crash_between_the_answer_and_the_commit_is_made_good() {
    let desk = Desk::open().await;
    let (order, payment) = (fresh(), fresh());
    let made = make_intent(&desk, order, payment).await;
    crashed_authorization(&desk, order, payment).await;
    // The key itself gives an error: what there is must be read back.
    desk.psp
        .faults(json!({ "fail_next": { "count": 1, "status": 500 } }))
        .await;
    assert_eq!(desk.payments.recover().await.unwrap(), 1);
    assert_eq!(desk.status(order).await, "AUTHORIZED");
    assert_eq!(
        desk.psp.ledger().await.intent_of(order)["id"],
        made["id"],
        "adopted, not made again"
    );
    assert_eq!(operations(&desk, order).await, [pair("AUTHORIZE", "SUCCEEDED")]);
    desk.assert_books().await;
}

#[tokio::test]
async fn a_crash_before_the_request_was_sent_is_made_good_as_well() {
    let desk = Desk::open().await;
    let order = fresh();
    crashed_authorization(&desk, order, fresh()).await;
    assert_eq!(desk.payments.recover().await.unwrap(), 1);
    assert_eq!(desk.status(order).await, "AUTHORIZED");
    assert_eq!(desk.payments.recover().await.unwrap(), 0);
    desk.psp.ledger().await.intent_of(order);
    desk.assert_books().await;
}

#[tokio::test]
async fn recovery_runs_by_itself_and_ends_what_the_provider_kept_open() {
    let desk = Desk::open_with(|settings| {
        hasty(settings);
        settings.recovery_interval_ms = 100;
    })
    .await;
    let orders = [fresh(), fresh(), fresh()];
    let captured = desk.authorized("pm_card_visa").await;
    desk.psp.faults(json!({ "hang": true })).await;
    for order in orders {
        desk.authorize(order, "pm_card_visa")
            .await
            .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    }
    desk.act(captured, "capture", json!({}))
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "hang": false })).await;
    for (order, status) in orders
        .into_iter()
        .map(|order| (order, "AUTHORIZED"))
        .chain([(captured, "CAPTURED")])
    {
        eventually(status, || async {
            (desk.status(order).await == status).then_some(())
        })
        .await;
        desk.psp.ledger().await.intent_of(order);
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn a_void_of_what_is_not_known_yet_is_remembered_and_done() {
    let desk = Desk::open_with(hasty).await;
    let order = fresh();
    desk.psp.faults(json!({ "hang": true })).await;
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.act(order, "void", json!({}))
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "hang": false })).await;
    eventually("voided", || async {
        desk.payments.recover().await.unwrap();
        (desk.status(order).await == "VOIDED").then_some(())
    })
    .await;
    desk.authorize(order, "pm_card_visa")
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    assert_eq!(desk.psp.ledger().await.intent_of(order)["status"], "canceled");
    assert_eq!(
        operations(&desk, order).await,
        [pair("AUTHORIZE", "SUCCEEDED"), pair("VOID", "SUCCEEDED")]
    );
    desk.assert_books().await;
}

fn cancelled(order: Uuid) -> OrderCancelled {
    OrderCancelled {
        order: Some(Order {
            order_id: order.to_string(),
            ..Order::default()
        }),
        reason: "CUSTOMER_REQUEST".to_owned(),
    }
}

#[tokio::test]
async fn a_cancelled_order_holds_no_money() {
    let desk = Desk::open().await;
    let (held, unpaid) = (desk.authorized("pm_card_visa").await, fresh());
    let placed = OrderPlaced {
        order: Some(Order {
            order_id: held.to_string(),
            ..Order::default()
        }),
    };
    desk.env.publish("order", &placed).await;
    for order in [held, unpaid, held] {
        desk.env.publish("order", &cancelled(order)).await;
    }
    eventually("the payment is voided", || async {
        (desk.status(held).await == "VOIDED").then_some(())
    })
    .await;
    eventually("the order that was not paid yet never will be", || async {
        let answer = desk.authorize(unpaid, "pm_card_visa").await;
        (answer.status == 409).then_some(())
    })
    .await;
    assert_eq!(desk.psp.ledger().await.intent_of(held)["status"], "canceled");
    desk.assert_books().await;
}

#[tokio::test]
async fn a_cancelled_order_that_was_captured_keeps_its_money_until_people_look() {
    let desk = Desk::open().await;
    let (captured, held) = (desk.captured().await, desk.authorized("pm_card_visa").await);
    desk.env.publish("order", &cancelled(captured)).await;
    desk.env.publish("order", &cancelled(held)).await;
    eventually("both events were read", || async {
        let read: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
            .fetch_one(desk.pool())
            .await
            .unwrap();
        (read == 2).then_some(())
    })
    .await;
    assert_eq!(desk.get(captured).await["captured"], usd(AMOUNT));
    assert_eq!(desk.status(captured).await, "CAPTURED");
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_what_is_open_is_counted() {
    let desk = Desk::open().await;
    let order = desk.captured().await;
    desk.act(fresh(), "void", json!({})).await.expect(200);
    for statement in [
        "UPDATE idempotency_keys SET created_at = now() - interval '4 days'",
        "UPDATE order_slots SET created_at = now() - interval '31 days'",
    ] {
        sqlx::query(statement).execute(desk.pool()).await.unwrap();
    }
    desk.payments.forget().await.unwrap();
    desk.payments.measure().await.unwrap();
    let left: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM order_slots)")
            .fetch_one(desk.pool())
            .await
            .unwrap();
    assert_eq!(left, (0, 1), "no keys; the payment's slot, not the tombstone");
    // Without its key the order still guards itself.
    assert_eq!(
        desk.act(order, "capture", json!({})).await.expect(200).json["captured"],
        usd(AMOUNT)
    );
}

#[tokio::test]
async fn a_key_that_the_provider_may_have_forgotten_is_not_sent_again() {
    let desk = Desk::open().await;
    let (made, never_made) = (fresh(), fresh());
    let payment = fresh();
    make_intent(&desk, made, payment).await;
    crashed_authorization(&desk, made, payment).await;
    crashed_authorization(&desk, never_made, fresh()).await;
    sqlx::query("UPDATE payment_operations SET created_at = now() - interval '2 days'")
        .execute(desk.pool())
        .await
        .unwrap();
    assert_eq!(desk.payments.recover().await.unwrap(), 2);
    assert_eq!(desk.status(made).await, "AUTHORIZED");
    assert_eq!(desk.status(never_made).await, "FAILED");
    let ledger = desk.psp.ledger().await;
    ledger.intent_of(made);
    assert!(ledger.intents_of(never_made).is_empty());
}

#[tokio::test]
async fn what_waits_for_the_customer_can_be_voided() {
    let desk = Desk::open().await;
    let order = fresh();
    desk.authorize(order, "pm_card_threeDSecure2Required")
        .await
        .expect(201);
    desk.env.publish("order", &cancelled(order)).await;
    eventually("voided", || async {
        (desk.status(order).await == "VOIDED").then_some(())
    })
    .await;
    assert_eq!(desk.psp.ledger().await.intent_of(order)["status"], "canceled");
    desk.assert_books().await;
}

/// An intent as the service would have made it.
async fn make_intent(desk: &Desk, order: Uuid, payment: Uuid) -> serde_json::Value {
    let (order, payment, amount) = (order.to_string(), payment.to_string(), AMOUNT.to_string());
    let form = [
        ("amount", amount.as_str()),
        ("currency", "usd"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("metadata[order_id]", &order),
        ("metadata[payment_id]", &payment),
    ];
    let made = desk.psp.post("/v1/payment_intents", &form).await;
    assert_eq!(made["status"], "requires_capture");
    made
}
