//! Prices that changed, and what is left, as the cart's owner sees them.

use serde_json::{Value, json};

use crate::{Shop, line};

fn notices(cart: &Value) -> Vec<(&str, &str)> {
    cart["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| {
            (
                notice["code"].as_str().unwrap(),
                notice["sku_id"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_price_is_taken_over_and_told_until_the_line_is_changed() {
    let shop = Shop::open().await;
    let (id, api) = shop.user();
    let shoe = shop.sku(2_500);
    shop.stock.lock().unwrap().insert(shoe.clone(), 9);
    api.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    let cart = api.get("/v1/cart").await.expect(200).json;
    assert_eq!((notices(&cart), &cart["version"]), (vec![], &json!(1)));

    // What is not looked at stays as the buyer chose it: the checkout compares with that.
    let price_of = |cart: &Value| cart["items"][0]["unit_price"]["amount_minor"].clone();
    shop.prices
        .lock()
        .unwrap()
        .insert(shoe.clone(), (3_000, "active"));
    let internal = format!("/internal/v1/carts/user:{id}");
    let unseen = shop.order_service().get(&internal).await.expect(200).json;
    assert_eq!(price_of(&unseen), 2_500);

    for _ in 0..2 {
        let cart = api.get("/v1/cart").await.expect(200).json;
        assert_eq!(notices(&cart), [("PRICE_CHANGED", shoe.as_str())]);
        assert_eq!(price_of(&cart), 3_000);
        assert_eq!(cart["items"][0]["previous_unit_price"]["amount_minor"], 2_500);
        assert_eq!(cart["items"][0]["quantity"], 2);
        assert_eq!(cart["subtotal"]["amount_minor"], 6_000);
        assert_eq!(cart["version"], 2, "written once");
    }
    let seen = shop.order_service().get(&internal).await.expect(200).json;
    assert_eq!(price_of(&seen), 3_000);

    // Put again at the new price, the change is accepted.
    let path = format!("/v1/cart/items/{shoe}");
    let cart = api.put(&path, json!({"quantity": 1})).await.expect(200).json;
    assert_eq!(notices(&cart), []);
    assert_eq!(notices(&api.get("/v1/cart").await.expect(200).json), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_is_checked_out_keeps_its_prices() {
    let shop = Shop::open().await;
    let (id, api) = shop.user();
    let shoe = shop.sku(2_500);
    api.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
    let mark = format!("/internal/v1/carts/user:{id}/checked-out");
    let order = json!({"order_id": crate::fresh()});
    shop.order_service().post(&mark, order).await.expect(200);
    shop.prices.lock().unwrap().insert(shoe, (3_000, "active"));
    let cart = api.get("/v1/cart").await.expect(200).json;
    assert_eq!(cart["items"][0]["unit_price"]["amount_minor"], 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_hinted_at() {
    let shop = Shop::open().await;
    let (_, api) = shop.user();
    let mut expected = Vec::new();
    for (units, code) in [(3, "AVAILABLE"), (1, "INSUFFICIENT"), (0, "SOLD_OUT")] {
        let sku = shop.sku(100);
        shop.stock.lock().unwrap().insert(sku.clone(), units);
        api.post("/v1/cart/items", line(&sku, 2)).await.expect(200);
        expected.push((sku, code, units));
    }
    let cart = api.get("/v1/cart").await.expect(200).json;
    for (sku, code, units) in &expected {
        let items = cart["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["sku_id"] == sku.as_str()).unwrap();
        assert_eq!(
            (&item["availability"], &item["available"]),
            (&json!(code), &json!(units))
        );
    }
    let mut told = notices(&cart);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("INSUFFICIENT_STOCK", expected[1].0.as_str()),
            ("SOLD_OUT", expected[2].0.as_str())
        ]
    );
    shop.prices
        .lock()
        .unwrap()
        .insert(expected[0].0.clone(), (100, "archived"));
    let cart = api.get("/v1/cart").await.expect(200).json;
    assert!(
        notices(&cart).contains(&("NOT_FOR_SALE", expected[0].0.as_str())),
        "{cart}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_shown_without_hints_when_nobody_gives_them() {
    let shop = Shop::open_with(|settings| settings.inventory_url = "http://127.0.0.1:1".to_owned()).await;
    let (_, api) = shop.user();
    let shoe = shop.sku(100);
    api.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    for _ in 0..5 {
        let cart = api.get("/v1/cart").await.expect(200).json;
        assert_eq!(cart["items"][0]["availability"], "UNKNOWN");
        assert_eq!(notices(&cart), []);
    }
}
