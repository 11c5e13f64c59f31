use ferrocart_http_kit::Role;
use ferrocart_test_kit::eventually;
use serde_json::json;

use crate::shop::{Shop, id_of, statuses};
use crate::world::{Fault, fresh};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shipped_delivered_and_refunded_each_once() {
    let shop = Shop::open().await;
    let (buyer, _, id) = shop.confirmed().await;
    let (warehouse, support) = (shop.staff(Role::Warehouse), shop.staff(Role::Support));
    let path = |verb: &str| format!("/v1/orders/{id}/{verb}");
    buyer
        .api
        .put(&path("ship"), json!({}))
        .await
        .expect_problem(403, "FORBIDDEN");
    warehouse
        .put(&path("deliver"), ())
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    support
        .put(&path("refund"), json!({}))
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    for _ in 0..2 {
        let shipment = json!({ "carrier": "Post", "tracking_number": "T1" });
        let shipped = warehouse.put(&path("ship"), shipment).await.expect(200);
        assert_eq!(shipped.json["status"], "SHIPPED");
        assert_eq!(shipped.json["payment"]["status"], "CAPTURED");
        assert_eq!(shipped.json["shipment"]["tracking_number"], "T1");
    }
    assert_eq!(shop.world.reservation(&id), Some("DEDUCTED"));
    buyer
        .api
        .put(&path("cancel"), ())
        .await
        .expect_problem(409, "INVALID_TRANSITION");
    for _ in 0..2 {
        warehouse.put(&path("deliver"), ()).await.expect(200);
    }
    warehouse
        .put(&path("refund"), json!({}))
        .await
        .expect_problem(403, "FORBIDDEN");
    for _ in 0..2 {
        let refunded = support
            .put(&path("refund"), json!({ "reason": "too small" }))
            .await
            .expect(200);
        assert_eq!(refunded.json["payment"]["status"], "REFUNDED");
    }
    let order = buyer.order(&id).await;
    assert_eq!(
        statuses(&order),
        [
            "PLACED",
            "PAYMENT_PENDING",
            "CONFIRMED",
            "SHIPPED",
            "DELIVERED",
            "REFUNDED"
        ]
    );
    assert_eq!(order["history"][5]["reason"], "too small");
    assert_eq!(
        (
            shop.world.money_moves(&id, "capture"),
            shop.world.money_moves(&id, "refund")
        ),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pick_that_finds_no_stock_voids_and_cancels() {
    let shop = Shop::open().await;
    let (buyer, _, id) = shop.confirmed().await;
    shop.world.lock().release(&id);
    let refused = shop
        .staff(Role::Warehouse)
        .put(&format!("/v1/orders/{id}/ship"), json!({}))
        .await;
    refused.expect_problem(409, "PICK_FAILED");
    let order = buyer.order(&id).await;
    assert_eq!(order["status"], "CANCELLED");
    assert_eq!(order["cancel_reason"], "PICK_FAILED");
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    assert_eq!(shop.world.count("capture"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_is_cancelled_by_its_owner_or_support() {
    let shop = Shop::open().await;
    for by_support in [false, true] {
        let (buyer, sku, id) = shop.confirmed().await;
        let path = format!("/v1/orders/{id}/cancel");
        shop.customer()
            .api
            .put(&path, ())
            .await
            .expect_problem(404, "ORDER_NOT_FOUND");
        shop.staff(Role::Warehouse)
            .put(&path, ())
            .await
            .expect_problem(403, "FORBIDDEN");
        let who = if by_support {
            shop.staff(Role::Support)
        } else {
            buyer.api.clone()
        };
        for _ in 0..2 {
            let cancelled = who.put(&path, ()).await.expect(200);
            assert_eq!(cancelled.json["status"], "CANCELLED");
            let reason = if by_support {
                "SUPPORT_REQUEST"
            } else {
                "CUSTOMER_REQUEST"
            };
            assert_eq!(cancelled.json["cancel_reason"], reason);
        }
        assert_eq!(shop.world.available(sku), 10);
        assert_eq!(shop.world.payment(&id), Some("VOIDED"));
        shop.staff(Role::Warehouse)
            .put(&format!("/v1/orders/{id}/ship"), json!({}))
            .await
            .expect_problem(409, "INVALID_TRANSITION");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_under_way_is_cancelled_and_undone() {
    let shop = Shop::open_with(|settings| {
        settings.checkout_deadline_ms = 300;
        settings.saga.saga_tries_max = 1_000;
    })
    .await;
    let (buyer, sku) = shop.customer_with_cart();
    shop.world.fail_always("authorize", Fault::LostWith504);
    let accepted = buyer
        .checkout_with("key", &crate::shop::body("pm_card_visa"))
        .await
        .expect(202);
    let id = id_of(&accepted);
    // A busy machine may not be at the payment when the answer's time is up.
    eventually("an authorization", || async {
        (shop.world.count("authorize") > 0).then_some(())
    })
    .await;
    buyer.api.put(&format!("/v1/orders/{id}/cancel"), ()).await;
    let order = buyer.until(&id, "CANCELLED").await;
    assert_eq!(order["cancel_reason"], "CUSTOMER_REQUEST");
    assert_eq!(shop.world.available(sku), 10);
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    let answer = buyer
        .checkout_with("key", &crate::shop::body("pm_card_visa"))
        .await;
    answer.expect_problem(409, "ORDER_CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_and_cancelling_at_once_do_one_of_the_two() {
    let shop = Shop::open().await;
    let warehouse = shop.staff(Role::Warehouse);
    for _ in 0..5 {
        let (buyer, sku, id) = shop.confirmed().await;
        let (ship, cancel) = (format!("/v1/orders/{id}/ship"), format!("/v1/orders/{id}/cancel"));
        let (shipped, cancelled) = tokio::join!(warehouse.put(&ship, json!({})), buyer.api.put(&cancel, ()));
        assert!(
            (shipped.status == 200) != (cancelled.status == 200),
            "{} / {}",
            shipped.text,
            cancelled.text
        );
        let moves = (
            shop.world.money_moves(&id, "capture"),
            shop.world.money_moves(&id, "void"),
        );
        if shipped.status == 200 {
            assert_eq!((moves, shop.world.available(sku)), ((1, 0), 9));
        } else {
            assert_eq!((moves, shop.world.available(sku)), ((0, 1), 10));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_seen_by_those_they_concern_and_listed_page_by_page() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let sku = shop.world.sku(100, 100);
    let mut ids = Vec::new();
    for _ in 0..5 {
        shop.fill(&buyer, &[(sku, 1)]);
        ids.push(id_of(&buyer.checkout("pm_card_visa").await.expect(201)));
    }
    ids.reverse();
    let path = format!("/v1/orders/{}", ids[0]);
    for role in [Role::Support, Role::Admin, Role::Warehouse] {
        shop.staff(role).get(&path).await.expect(200);
    }
    let service = shop
        .api
        .with_token(shop.env.keys.service_token("notification", "order"));
    service.get(&path).await.expect(200);
    for role in [Role::Customer, Role::Merchant, Role::Guest] {
        shop.staff(role)
            .get(&path)
            .await
            .expect_problem(404, "ORDER_NOT_FOUND");
    }
    shop.api.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    buyer
        .api
        .get(&format!("/v1/orders/{}", fresh()))
        .await
        .expect_problem(404, "ORDER_NOT_FOUND");
    buyer
        .api
        .get("/v1/orders/7")
        .await
        .expect_problem(400, "INVALID_ORDER_ID");

    let mut seen = Vec::new();
    let mut next = "/v1/orders?limit=2".to_owned();
    loop {
        let page = buyer.api.get(&next).await.expect(200).json;
        for order in page["items"].as_array().unwrap() {
            seen.push(order["order_id"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("/v1/orders?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let of_buyer = format!("/v1/orders?customer_id={}", buyer.id);
    let page = shop.staff(Role::Support).get(&of_buyer).await.expect(200).json;
    assert_eq!(page["items"].as_array().unwrap().len(), 5);
    shop.customer()
        .api
        .get(&of_buyer)
        .await
        .expect_problem(403, "FORBIDDEN");
    let none = buyer.api.get("/v1/orders?status=SHIPPED").await.expect(200).json;
    assert_eq!(none["items"], json!([]));
    buyer
        .api
        .get("/v1/orders?status=LOST")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    buyer
        .api
        .get("/v1/orders?limit=101")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}
