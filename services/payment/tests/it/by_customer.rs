//! Payments whose customers pay at the provider, with the client secret.

use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::PaymentAuthorized;
use ferrocart_http_kit::Role;
use ferrocart_psp_sandbox::PUBLISHABLE_KEY;
use ferrocart_test_kit::{Answer, Api, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, hasty, usd};

const RETURN: (&str, &str) = ("return_url", "https://shop.example/back");

/// A payment that waits for its customer.
struct Waiting {
    order: Uuid,
    id: String,
    owner: Api,
    intent: String,
    secret: String,
}

impl Desk {
    async fn open_payment(&self, order: Uuid, customer: Uuid) -> Answer {
        let body = json!({ "order_id": order, "customer_id": customer, "amount": usd(AMOUNT) });
        self.api
            .post_once("/internal/v1/payments", &format!("open:{order}"), body)
            .await
    }

    async fn waiting(&self) -> Waiting {
        let (customer, owner) = self.as_user(&[Role::Customer]);
        let order = fresh();
        let answer = self.open_payment(order, customer).await.expect(201);
        assert_eq!(answer.json["status"], "PENDING");
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        let id = answer.json["payment_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/payments/{id}/client-secret");
        let answer = owner.get(&path).await.expect(200);
        assert_eq!(answer.json["publishable_key"], PUBLISHABLE_KEY);
        assert_eq!(answer.headers["cache-control"], "private, no-store");
        let secret = answer.json["client_secret"].as_str().unwrap().to_owned();
        let intent = self.psp.ledger().await.intent_id(order);
        assert!(secret.starts_with(&format!("{intent}_secret_")));
        Waiting {
            order,
            id,
            owner,
            intent,
            secret,
        }
    }

    /// What the provider's own client does in the customer's browser.
    async fn confirm(&self, waiting: &Waiting, method: &str) -> (u16, Value) {
        let path = format!("/v1/payment_intents/{}/confirm", waiting.intent);
        let form = [
            ("client_secret", waiting.secret.as_str()),
            ("payment_method", method),
            RETURN,
        ];
        self.psp.post_as(PUBLISHABLE_KEY, &path, &form).await
    }

    async fn becomes(&self, order: Uuid, status: &str) {
        eventually(status, || async {
            (self.status(order).await == status).then_some(())
        })
        .await;
    }

    async fn intent_status(&self, order: Uuid) -> Value {
        self.psp.ledger().await.intent_of(order)["status"].clone()
    }

    async fn recover(&self) {
        self.payments.recover().await.unwrap();
    }
}

#[tokio::test]
async fn a_customer_pays_at_the_provider_after_a_decline_and_the_banks_question() {
    let desk = Desk::open_with_webhooks().await;
    let waiting = desk.waiting().await;
    assert_eq!(desk.intent_status(waiting.order).await, "requires_payment_method");
    let (status, declined) = desk.confirm(&waiting, "pm_card_chargeDeclined").await;
    assert_eq!(status, 402, "{declined}");
    desk.psp.webhooks_delivered().await;
    assert_eq!(
        desk.status(waiting.order).await,
        "PENDING",
        "a decline ends nothing"
    );
    let (_, asked) = desk.confirm(&waiting, "pm_card_threeDSecure2Required").await;
    assert_eq!(asked["status"], "requires_action");
    desk.becomes(waiting.order, "REQUIRES_ACTION").await;
    desk.psp.authenticate(&waiting.intent, "refuse").await;
    desk.psp.webhooks_delivered().await;
    let (_, held) = desk.confirm(&waiting, "pm_card_visa").await;
    assert_eq!(held["status"], "requires_capture");
    desk.becomes(waiting.order, "AUTHORIZED").await;
    let path = format!("/v1/payments/{}/client-secret", waiting.id);
    let over = waiting.owner.get(&path).await;
    over.expect_problem(409, "PAYMENT_NOT_CONFIRMABLE");
    desk.act(waiting.order, "capture", json!({})).await.expect(200);
    desk.assert_books().await;
    let mut events = desk.env.events(Topic::Payment);
    events
        .find::<PaymentAuthorized>(|event| event.payment.as_ref().unwrap().sequence == 2)
        .await;
    let told = events.until("all events", |_| true).await;
    for event in told {
        let text = String::from_utf8_lossy(&event.payload).into_owned();
        assert!(!text.contains(&waiting.secret), "{}", event.event_type);
    }
}

#[tokio::test]
async fn the_client_secret_is_its_owners_alone() {
    let desk = Desk::open().await;
    let waiting = desk.waiting().await;
    let path = format!("/v1/payments/{}/client-secret", waiting.id);
    for role in [Role::Customer, Role::Guest, Role::Support, Role::Admin] {
        let other = desk.as_user(&[role]).1;
        other.get(&path).await.expect_problem(404, "PAYMENT_NOT_FOUND");
    }
    let anonymous = desk.api.with_token(desk.env.keys.anonymous_token("payment"));
    anonymous.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    let ordinary = desk.authorized("pm_card_visa").await;
    let id = desk.get(ordinary).await["payment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let owner: Uuid = Uuid::from_u128(7);
    let user = ferrocart_http_kit::UserIdentity {
        user_id: owner.into(),
        roles: vec![Role::Customer],
        email: None,
        guest_session: None,
    };
    let owner = desk.api.with_token(desk.env.keys.user_token("payment", &user));
    let path = format!("/v1/payments/{id}/client-secret");
    owner
        .get(&path)
        .await
        .expect_problem(409, "PAYMENT_NOT_CONFIRMABLE");
}

#[tokio::test]
async fn one_intent_is_made_however_often_it_is_asked_and_whatever_is_lost() {
    let desk = Desk::open_with(hasty).await;
    let (order, customer) = (fresh(), fresh());
    desk.psp.faults(json!({ "drop_next": 3 })).await;
    desk.open_payment(order, customer)
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    let first = desk.open_payment(order, customer).await.expect(201);
    let second = desk.open_payment(order, customer).await.expect(201);
    assert_eq!(first.json, second.json);
    assert_eq!(desk.psp.ledger().await.intents_of(order).len(), 1);
    let other = json!({ "order_id": order, "customer_id": customer, "amount": usd(1) });
    let other = desk.api.post_once("/internal/v1/payments", "other", other).await;
    other.expect_problem(409, "PAYMENT_EXISTS");
}

#[tokio::test]
async fn a_method_may_still_be_named_and_its_decline_is_final() {
    let desk = Desk::open().await;
    for (method, status, at_provider) in [
        ("pm_card_visa", 201, "requires_capture"),
        ("pm_card_chargeDeclined", 402, "requires_payment_method"),
        ("pm_nobody", 402, "requires_payment_method"),
    ] {
        let (order, customer) = (fresh(), fresh());
        desk.open_payment(order, customer).await.expect(201);
        let body = json!({
            "order_id": order, "customer_id": customer, "amount": usd(AMOUNT), "payment_method": method,
        });
        for _ in 0..2 {
            let key = format!("authorize:{order}");
            let answer = desk
                .api
                .post_once("/internal/v1/payments", &key, body.clone())
                .await;
            assert_eq!(answer.status, status, "{method}: {}", answer.text);
        }
        let ledger = desk.psp.ledger().await;
        assert_eq!(ledger.intent_of(order)["status"], at_provider, "{method}");
    }
    desk.assert_books().await;
}

#[tokio::test]
async fn what_is_not_paid_is_cancelled_at_the_provider_and_cannot_be_paid_any_more() {
    let desk = Desk::open_with_webhooks().await;
    let waiting = desk.waiting().await;
    let voided = desk
        .act(waiting.order, "void", json!({ "reason": "PAYMENT_TIMEOUT" }))
        .await
        .expect(200);
    assert_eq!(voided.json["status"], "VOIDED");
    assert_eq!(desk.intent_status(waiting.order).await, "canceled");
    let (status, late) = desk.confirm(&waiting, "pm_card_visa").await;
    assert_eq!(status, 400, "{late}");
    desk.psp.webhooks_delivered().await;
    assert_eq!(desk.status(waiting.order).await, "VOIDED");
    desk.assert_books().await;
}

/// The end of the time and the customer's card at once: whoever wins, nothing stays held.
#[tokio::test(flavor = "multi_thread")]
async fn a_void_beside_the_customers_confirmation_leaves_nothing_held() {
    let desk = Desk::open_with_webhooks().await;
    for _ in 0..20 {
        let waiting = desk.waiting().await;
        let (voided, _) = tokio::join!(
            desk.act(waiting.order, "void", json!({})),
            desk.confirm(&waiting, "pm_card_visa")
        );
        voided.expect(200);
        assert_eq!(desk.intent_status(waiting.order).await, "canceled");
        assert_eq!(desk.status(waiting.order).await, "VOIDED");
    }
    desk.psp.webhooks_delivered().await;
    let moved: i64 = sqlx::query_scalar("SELECT count(*) FROM payments WHERE status <> 'VOIDED'")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(moved, 0);
    desk.assert_books().await;
}

/// Whoever has the client secret of a declined intent could pay an order that is over.
#[tokio::test]
async fn a_declined_intent_is_cancelled_once_its_order_is() {
    let desk = Desk::open_with_webhooks().await;
    let order = fresh();
    desk.authorize(order, "pm_card_chargeDeclined")
        .await
        .expect_problem(402, "PAYMENT_DECLINED");
    // It was confirmed again before the order's end was heard of.
    let intent = desk.psp.ledger().await.intent_id(order);
    desk.psp
        .post(
            &format!("/v1/payment_intents/{intent}/confirm"),
            &[("payment_method", "pm_card_visa")],
        )
        .await;
    desk.psp.webhooks_delivered().await;
    let event = ferrocart_types::EventId(fresh());
    desk.payments
        .order_cancelled(event, order.into(), "PAYMENT_DECLINED")
        .await
        .unwrap();
    eventually("the intent is cancelled", || async {
        desk.recover().await;
        (desk.intent_status(order).await == "canceled").then_some(())
    })
    .await;
    eventually("that is known", || async {
        desk.recover().await;
        let let_go: bool =
            sqlx::query_scalar("SELECT let_go_at IS NOT NULL FROM payments WHERE order_id = $1")
                .bind(order)
                .fetch_one(desk.pool())
                .await
                .unwrap();
        let_go.then_some(())
    })
    .await;
    let (_, writes) = desk.psp.served().await;
    desk.recover().await;
    assert_eq!(desk.psp.served().await.1, writes, "once");
    desk.authorize(order, "pm_card_chargeDeclined")
        .await
        .expect_problem(402, "PAYMENT_DECLINED");
    desk.assert_books().await;
}
