//! What the topic `catalog-events` tells.

use ferrocart_contracts::v1::{ProductDeleted, ProductStatus, ProductUpserted};
use ferrocart_contracts::{Event, Topic};
use reqwest::Method;
use serde_json::json;

use crate::support::{Catalog, category, id_of, product};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_published_in_order_of_versions() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let root = category(&merchant, "sport", None).await;
    category(&merchant, "shoes", Some(&root)).await;
    let created = merchant
        .post("/v1/products", product("runner", "shoes"))
        .await
        .expect(201)
        .json;
    let id = id_of(&created);
    let path = format!("/v1/products/{id}");
    let edits = (0..20).map(|n| {
        let (merchant, path) = (merchant.clone(), path.clone());
        async move {
            let body = json!({"title": format!("Title {n}")});
            merchant
                .send(Method::PATCH, &path, Some(&body), &[])
                .await
                .expect(200);
        }
    });
    futures::future::join_all(edits).await;
    merchant.delete(&path).await.expect(204);

    let mut log = catalog.env.events(Topic::Catalog);
    let events = log
        .until("the deletion", |events| {
            events
                .iter()
                .any(|event| event.event_type == ProductDeleted::TYPE)
        })
        .await;
    let versions: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(versions, (1..=22).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.subject == id));
    assert!(events.iter().all(|event| event.source == "/ferrocart/catalog"));
    assert!(events.iter().all(|event| event.traceparent.is_some()));
    let deleted = events.last().unwrap().decode::<ProductDeleted>().unwrap();
    assert_eq!((deleted.product_id, deleted.version), (id.clone(), 22));

    let first = events[0].decode::<ProductUpserted>().unwrap().product.unwrap();
    assert_eq!(first.product_id, id);
    assert_eq!(first.merchant_id, created["merchant_id"]);
    assert_eq!(first.category_path, ["sport", "shoes"]);
    assert_eq!(first.category_id, created["category_id"]);
    assert_eq!(first.status, i32::from(ProductStatus::Active));
    assert_eq!(first.brand, "Alpina");
    assert_eq!(first.image_url, "https://images.example.com/1.jpg");
    assert_eq!(first.attributes["weight_g"], "250.5");
    assert_eq!(first.attributes["waterproof"], "true");
    assert_eq!(first.attributes["lugs"], "42");
    assert_eq!(first.variants[0].sku_id, created["variants"][0]["sku_id"]);
    let price = first.variants[0].price.clone().unwrap();
    assert_eq!((price.amount_minor, price.currency.as_str()), (9_900, "USD"));
    let titles: Vec<String> = events[1..21]
        .iter()
        .map(|event| event.decode::<ProductUpserted>().unwrap().product.unwrap().title)
        .collect();
    assert_eq!(
        titles.iter().collect::<std::collections::HashSet<_>>().len(),
        20,
        "{titles:?}"
    );
    catalog.stop().await;
}
