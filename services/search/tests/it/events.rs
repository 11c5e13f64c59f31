use ferrocart_contracts::v1::{ProductStatus, StockUpdated};

use crate::support::{Shop, product, variant};

#[tokio::test]
async fn a_product_is_found_as_it_is() {
    let shop = Shop::open().await;
    let mut lamp = product("Brass Lantern");
    lamp.brand = "Nordlicht".into();
    lamp.category_path = vec!["home".to_owned(), "lamps".to_owned()];
    lamp.variants = vec![variant(4_999), variant(2_500)];
    lamp.rating_hundredths = 425;
    lamp.rating_count = 8;
    lamp.image_url = "https://images.example.com/lamp.jpg".into();
    shop.list(&lamp).await;
    shop.stock(&lamp.variants[1].sku_id, 3, 1).await;

    let answer = shop.until("q=lantern&in_stock=true", 1).await;
    let item = &answer["items"][0];
    assert_eq!(item["product_id"], lamp.product_id);
    assert_eq!(item["title"], "Brass Lantern");
    assert_eq!(item["brand"], "Nordlicht");
    assert_eq!(item["category"], "lamps");
    assert_eq!(
        item["price_min"],
        serde_json::json!({"amount_minor": 2_500, "currency": "USD"})
    );
    assert_eq!(item["price_max"]["amount_minor"], 4_999);
    assert_eq!(item["rating"], serde_json::json!({"average": 4.25, "count": 8}));
    assert_eq!(item["image"], "https://images.example.com/lamp.jpg");
    assert_eq!(item["in_stock"], true);
}

#[tokio::test]
async fn older_and_repeated_events_change_nothing() {
    let shop = Shop::open().await;
    let mut lamp = product("Fifth Lantern");
    lamp.version = 5;
    shop.list(&lamp).await;
    lamp.version = 3;
    lamp.title = "Third Lantern".into();
    shop.list(&lamp).await;
    lamp.version = 5;
    lamp.title = "Another Lantern".into();
    shop.list(&lamp).await;
    let sku = lamp.variants[0].sku_id.clone();
    shop.stock(&sku, 0, 7).await;
    shop.stock(&sku, 9, 6).await;
    shop.stock(&sku, 9, 7).await;
    shop.settled().await;
    assert_eq!(shop.titles("q=lantern").await, ["Fifth Lantern"]);
    assert_eq!(shop.search("q=lantern&in_stock=true").await["total"], 0);

    shop.stock(&sku, 1, 8).await;
    shop.until("q=lantern&in_stock=true", 1).await;
    // The same across commits, where the versions come from the index.
    lamp.version = 4;
    shop.list(&lamp).await;
    shop.stock(&sku, 0, 7).await;
    shop.settled().await;
    assert_eq!(shop.titles("in_stock=true").await, ["Fifth Lantern"]);
}

#[tokio::test]
async fn sales_that_leave_some_change_nothing_until_the_last_one() {
    let shop = Shop::open().await;
    let lamp = product("Popular Lantern");
    let sku = lamp.variants[0].sku_id.clone();
    shop.list(&lamp).await;
    shop.stock(&sku, 9, 1).await;
    shop.until("q=lantern&in_stock=true", 1).await;
    for version in 2..9 {
        shop.stock(&sku, 10 - version, version).await;
    }
    shop.settled().await;
    assert_eq!(shop.search("q=lantern&in_stock=true").await["total"], 1);
    shop.stock(&sku, 0, 9).await;
    shop.until("q=lantern&in_stock=false", 1).await;
    // All of them again, as after a crash.
    for version in 5..9 {
        shop.stock(&sku, 10 - version, version).await;
    }
    shop.settled().await;
    assert_eq!(shop.search("q=lantern&in_stock=false").await["total"], 1);
    shop.stock(&sku, 2, 10).await;
    shop.until("q=lantern&in_stock=true", 1).await;
}

#[tokio::test]
async fn stock_may_come_before_its_product() {
    let shop = Shop::open().await;
    let lamp = product("Early Lantern");
    shop.stock(&lamp.variants[0].sku_id, 4, 2).await;
    shop.settled().await;
    shop.list(&lamp).await;
    let answer = shop.until("q=lantern", 1).await;
    assert_eq!(answer["items"][0]["in_stock"], true);
}

#[tokio::test]
async fn a_product_is_in_stock_while_any_of_its_variants_is() {
    let shop = Shop::open().await;
    let mut lamp = product("Lantern");
    lamp.variants = vec![variant(100), variant(200)];
    let skus: Vec<String> = lamp
        .variants
        .iter()
        .map(|variant| variant.sku_id.clone())
        .collect();
    shop.list(&lamp).await;
    shop.stock(&skus[0], 1, 1).await;
    shop.stock(&skus[1], 1, 1).await;
    shop.until("in_stock=true", 1).await;
    shop.stock(&skus[0], 0, 2).await;
    shop.settled().await;
    assert_eq!(shop.search("in_stock=true").await["total"], 1);
    shop.publish(&StockUpdated {
        sku_id: skus[1].clone(),
        on_hand: 1,
        reserved: 0,
        available: 1,
        version: 2,
        reason: "DISCONTINUED".to_owned(),
    })
    .await;
    shop.until("in_stock=false", 1).await;

    // A new variant that is known to be there, and the same product without it again.
    let extra = variant(300);
    shop.stock(&extra.sku_id, 5, 1).await;
    lamp.variants.push(extra);
    lamp.version = 2;
    shop.list(&lamp).await;
    shop.until("in_stock=true", 1).await;
    lamp.variants.pop();
    lamp.version = 3;
    shop.list(&lamp).await;
    shop.until("in_stock=false", 1).await;
}

#[tokio::test]
async fn only_active_products_are_found_and_deleted_ones_stay_away() {
    let shop = Shop::open().await;
    let mut draft = product("Draft Lantern");
    draft.status = ProductStatus::Draft.into();
    let mut bare = product("Lantern without variants");
    bare.variants.clear();
    let mut archived = product("Archived Lantern");
    let deleted = product("Deleted Lantern");
    for lamp in [&draft, &bare, &archived, &deleted] {
        shop.list(lamp).await;
    }
    shop.until("q=lantern", 2).await;
    archived.status = ProductStatus::Archived.into();
    archived.version = 2;
    shop.list(&archived).await;
    shop.delete(&deleted, 9).await;
    let mut late = deleted.clone();
    late.version = 8;
    shop.list(&late).await;
    shop.settled().await;
    assert_eq!(shop.search("q=lantern").await["total"], 0);
    assert_eq!(shop.search("").await["total"], 0);

    draft.status = ProductStatus::Active.into();
    draft.version = 2;
    shop.list(&draft).await;
    assert_eq!(
        crate::support::titles(&shop.until("q=lantern", 1).await),
        ["Draft Lantern"]
    );
}

#[tokio::test]
async fn a_broken_event_does_not_stop_the_others() {
    let shop = Shop::open().await;
    let mut broken = product("Broken Lantern");
    broken.variants[0].price = None;
    shop.list(&broken).await;
    shop.list(&product("Whole Lantern")).await;
    let answer = shop.until("q=lantern", 1).await;
    assert_eq!(crate::support::titles(&answer), ["Whole Lantern"]);
}
