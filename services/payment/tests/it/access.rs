use ferrocart_http_kit::Role;
use ferrocart_test_kit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, usd};

async fn paid_by(desk: &Desk, customer: Uuid) -> String {
    let body = json!({
        "order_id": fresh(), "customer_id": customer, "amount": usd(AMOUNT), "payment_method": "pm_card_visa",
    });
    let answer = desk
        .api
        .post_once("/internal/v1/payments", &fresh().to_string(), body)
        .await;
    answer.expect(201).json["payment_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_payment_is_its_customers_business_alone() {
    let desk = Desk::open().await;
    let (customer, owner) = desk.as_user(&[Role::Customer]);
    let path = format!("/v1/payments/{}", paid_by(&desk, customer).await);
    assert_eq!(owner.get(&path).await.expect(200).json["status"], "AUTHORIZED");
    for role in [Role::Support, Role::Admin] {
        desk.as_user(&[role]).1.get(&path).await.expect(200);
    }
    for role in [Role::Customer, Role::Guest, Role::Merchant, Role::Warehouse] {
        let other = desk.as_user(&[role]).1;
        other.get(&path).await.expect_problem(404, "PAYMENT_NOT_FOUND");
    }
    let anonymous = desk.api.with_token(desk.env.keys.anonymous_token("payment"));
    anonymous.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    let unknown = format!("/v1/payments/{}", fresh());
    owner.get(&unknown).await.expect_problem(404, "PAYMENT_NOT_FOUND");
    owner
        .get("/v1/payments/x")
        .await
        .expect_problem(400, "INVALID_PAYMENT_ID");
}

#[tokio::test]
async fn nobody_but_services_moves_money() {
    let desk = Desk::open().await;
    let order = desk.authorized("pm_card_visa").await;
    let (_, admin) = desk.as_user(&[Role::Admin]);
    let base = format!("/internal/v1/payments/by-order/{order}");
    for path in ["capture", "void", "refund"] {
        let path = format!("{base}/{path}");
        admin
            .post_once(&path, "k", json!({}))
            .await
            .expect_problem(403, "FORBIDDEN");
        let stranger = desk.api.with_token("a.b.c");
        stranger
            .post_once(&path, "k", json!({}))
            .await
            .expect_problem(401, "UNAUTHENTICATED");
        desk.api
            .post(&path, json!({}))
            .await
            .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
        desk.api
            .post_once(&path, "k", json!({ "surprise": 1 }))
            .await
            .expect_problem(400, "VALIDATION_ERROR");
    }
    admin.get(&base).await.expect_problem(403, "FORBIDDEN");
    for action in ["capture", "refund"] {
        let path = format!("/internal/v1/payments/by-order/{}/{action}", fresh());
        let answer = desk.api.post_once(&path, "unknown", json!({})).await;
        answer.expect_problem(404, "PAYMENT_NOT_FOUND");
    }
    assert_eq!(desk.status(order).await, "AUTHORIZED");
}

#[tokio::test]
async fn the_service_tells_how_it_is_and_what_it_offers() {
    let desk = Desk::open().await;
    let open = desk.api.with_token("");
    open.get("/health/live").await.expect(200);
    eventually("the service is ready", || async {
        (open.get("/health/ready").await.status == 200).then_some(())
    })
    .await;
    let document = open.get("/openapi.json").await.expect(200).json;
    for path in [
        "/v1/payments/{payment_id}",
        "/v1/payments/webhook",
        "/v1/admin/payments/reconciliation",
        "/internal/v1/payments",
        "/internal/v1/payments/by-order/{order_id}",
        "/internal/v1/payments/by-order/{order_id}/capture",
        "/internal/v1/payments/by-order/{order_id}/void",
        "/internal/v1/payments/by-order/{order_id}/refund",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    desk.authorized("pm_card_visa").await;
    let metrics = open.get("/metrics").await.expect(200).text;
    for metric in ["psp_requests_total", "payments_total", "psp_breaker_open"] {
        assert!(metrics.contains(metric), "{metric}");
    }
}
