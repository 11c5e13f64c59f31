//! A guest's cart on its way into a user's: nothing is lost, nothing arrives twice.

use ferrocart_contracts::v1::OrderCancelled;
use ferrocart_test_kit::{Api, eventually};
use serde_json::{Value, json};

use crate::{Shop, fresh, line, order};

async fn merge(api: &Api) -> ferrocart_test_kit::Answer {
    api.post("/v1/cart/merge", json!({"guest_token": "t"})).await
}

fn quantity(cart: &Value, sku: &str) -> i64 {
    let items = cart["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["sku_id"] == sku);
    found.map_or(0, |item| item["quantity"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_adds_during_merges_is_not_lost() {
    let shop = Shop::open_with(|settings| settings.cart.quantity_max = 1_000).await;
    let ((guest_id, guest), (user_id, user)) = (shop.guest(), shop.user());
    let merging = shop.merging(user_id, guest_id);
    let shoe = shop.sku(500);
    let adds = (0..60).map(|_| {
        let (guest, shoe) = (guest.clone(), shoe.clone());
        ferrocart_telemetry::spawn("add", async move {
            guest.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
        })
    });
    let merges = (0..20).map(|_| {
        let merging = merging.clone();
        ferrocart_telemetry::spawn("merge", async move {
            merge(&merging).await.expect(200);
        })
    });
    let mut tasks: Vec<_> = Vec::new();
    for (at, add) in adds.enumerate() {
        tasks.push(add);
        if at % 20 == 0 {
            tasks.extend(merges.clone());
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    merge(&merging).await.expect(200);
    let cart = user.get("/v1/cart").await.expect(200).json;
    assert_eq!(quantity(&cart, &shoe), 60);
    assert_eq!(guest.get("/v1/cart").await.expect(200).json["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_could_not_arrive_wait_and_arrive_once() {
    let shop = Shop::open().await;
    let ((guest_id, guest), (user_id, user)) = (shop.guest(), shop.user());
    let (other_id, other) = shop.user();
    let (merging, others) = (shop.merging(user_id, guest_id), shop.merging(other_id, guest_id));
    let (shoe, hat) = (shop.sku(500), shop.sku(100));
    guest.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    // The user's checkout is under way, so that nothing may be put into the cart.
    let cart_id = format!("user:{user_id}");
    let mark = format!("/internal/v1/carts/{cart_id}/checked-out");
    let off = fresh();
    shop.order_service()
        .post(&mark, json!({"order_id": off}))
        .await
        .expect(200);
    merge(&merging).await.expect_problem(409, "CART_CHECKED_OUT");
    guest.post("/v1/cart/items", line(&hat, 1)).await.expect(200);
    let cancelled = OrderCancelled {
        order: Some(order(&cart_id, &off)),
        reason: String::new(),
    };
    shop.env.publish("order", &cancelled).await;
    eventually("an active cart", || async {
        (user.get("/v1/cart").await.expect(200).json["status"] == "ACTIVE").then_some(())
    })
    .await;
    // Somebody else logs in from the same session: the shoes were packed for the first one.
    let theirs = merge(&others).await.expect(200).json;
    assert_eq!((quantity(&theirs, &shoe), quantity(&theirs, &hat)), (0, 1));
    for _ in 0..3 {
        let cart = merge(&merging).await.expect(200).json;
        assert_eq!((quantity(&cart, &shoe), quantity(&cart, &hat)), (2, 0));
    }
    assert_eq!(quantity(&other.get("/v1/cart").await.json, &hat), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_s_cart_that_is_being_checked_out_is_not_merged() {
    let shop = Shop::open().await;
    let ((guest_id, guest), (user_id, _)) = (shop.guest(), shop.user());
    guest
        .post("/v1/cart/items", line(&shop.sku(1), 1))
        .await
        .expect(200);
    let mark = format!("/internal/v1/carts/guest:{guest_id}/checked-out");
    let order = json!({"order_id": fresh()});
    shop.order_service().post(&mark, order).await.expect(200);
    let merging = shop.merging(user_id, guest_id);
    merge(&merging).await.expect_problem(409, "CART_CHECKED_OUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named() {
    let shop = Shop::open().await;
    let ((guest_id, guest), (user_id, user)) = (shop.guest(), shop.user());
    let skus: Vec<String> = (0..4).map(|_| shop.sku(100)).collect();
    for sku in &skus[..3] {
        user.post("/v1/cart/items", line(sku, 15)).await.expect(200);
    }
    guest.post("/v1/cart/items", line(&skus[0], 10)).await.expect(200);
    guest.post("/v1/cart/items", line(&skus[3], 1)).await.expect(200);
    let cart = merge(&shop.merging(user_id, guest_id)).await.expect(200).json;
    let mut left_out: Vec<&str> = cart["notices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|notice| notice["code"] == "NOT_MERGED")
        .map(|notice| notice["sku_id"].as_str().unwrap())
        .collect();
    left_out.sort_unstable();
    let mut expected = [skus[0].as_str(), skus[3].as_str()];
    expected.sort_unstable();
    assert_eq!(left_out, expected);
    assert_eq!(quantity(&cart, &skus[0]), 20);
}
