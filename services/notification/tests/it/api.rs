//! What a customer sees.

use ferrocart_http_kit::Role;
use serde_json::Value;

use crate::support::{Office, cancelled, confirmed, next, order, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn everyone_reads_their_own_and_support_reads_all() {
    let office = Office::open().await;
    let caller = |role| {
        let (id, token) = office.env.keys.new_user("notification", &[role]);
        (id, office.api.with_token(token))
    };
    let (ada_id, ada) = caller(Role::Customer);
    let (guest_id, guest) = caller(Role::Guest);
    let adas = order(ada_id.as_uuid());
    let guests = order(guest_id.as_uuid());
    office.tell(&confirmed(&adas)).await;
    office.tell(&shipped(&next(&adas))).await;
    office.tell(&cancelled(&guests, "CUSTOMER_REQUEST")).await;
    office.settled(&adas.order_id, "SENT", 2).await;
    office.settled(&guests.order_id, "SENT", 1).await;

    let list = ada.get("/v1/notifications").await.expect(200).json;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(list.get("next_cursor").is_none());
    let newest = &items[0];
    assert_eq!(newest["kind"], "order_shipped");
    assert_eq!(newest["order_id"], adas.order_id);
    assert_eq!(newest["channel"], "email");
    assert_eq!(newest["status"], "SENT");
    assert!(newest["subject"].as_str().unwrap().contains("on its way"));
    assert!(newest["created_at"].is_string() && newest["sent_at"].is_string());
    assert_eq!(items[1]["kind"], "order_confirmed");
    let list = guest.get("/v1/notifications").await.expect(200).json;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["order_id"], guests.order_id);

    let of_ada = format!("/v1/notifications?customer_id={ada_id}");
    ada.get(&of_ada).await.expect(200);
    guest.get(&of_ada).await.expect_problem(403, "FORBIDDEN");
    for role in [Role::Support, Role::Admin] {
        let list = caller(role).1.get(&of_ada).await.expect(200).json;
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
    }
    let merchant = caller(Role::Merchant).1;
    merchant.get(&of_ada).await.expect_problem(403, "FORBIDDEN");
    let anonymous = office
        .api
        .with_token(office.env.keys.anonymous_token("notification"));
    anonymous
        .get("/v1/notifications")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    office
        .api
        .get("/v1/notifications")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_page_by_page() {
    let office = Office::open().await;
    let (id, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let api = office.api.with_token(token);
    let orders: Vec<_> = (0..5).map(|_| order(id.as_uuid())).collect();
    for bought in &orders {
        office.tell(&confirmed(bought)).await;
        office.settled(&bought.order_id, "SENT", 1).await;
    }
    let (mut read, mut path) = (Vec::new(), "/v1/notifications?limit=2".to_owned());
    loop {
        let page = api.get(&path).await.expect(200).json;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        read.extend(
            items
                .iter()
                .map(|item| item["order_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) else {
            break;
        };
        path = format!("/v1/notifications?limit=2&cursor={cursor}");
    }
    let newest_first: Vec<String> = orders.iter().rev().map(|order| order.order_id.clone()).collect();
    assert_eq!(read, newest_first);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("customer_id=x", "customer_id"),
    ] {
        let problem = api.get(&format!("/v1/notifications?{query}")).await;
        let problem = problem.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(problem.json["errors"][0]["field"], field);
    }
}
