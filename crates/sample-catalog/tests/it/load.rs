use std::sync::Mutex;

use ferrocart_sample_catalog::{LoadOptions, Phase, Progress, SOLD_OUT_HANDLE, SOLD_OUT_SKUS, Summary, load};

use crate::fake_gateway::{self, TOKEN, id};

async fn load_into(url: &str, products: usize) -> anyhow::Result<(Summary, Vec<Progress>)> {
    let seen = Mutex::new(Vec::new());
    let summary = load(LoadOptions {
        gateway_url: url.to_owned(),
        merchant_token: TOKEN.to_owned(),
        seed: 42,
        products,
        progress: |progress| seen.lock().unwrap().push(progress),
    })
    .await?;
    Ok((summary, seen.into_inner().unwrap()))
}

#[actix_web::test]
async fn the_whole_catalog_arrives_with_its_stock() {
    let (url, shop) = fake_gateway::start();
    let (summary, progress) = load_into(&url, 1_200).await.unwrap();
    let shop = shop.lock().unwrap();
    assert_eq!(
        (summary.categories_created, summary.products_created),
        (25, 1_200)
    );
    assert_eq!(shop.products.len(), 1_200);
    assert_eq!(shop.stock.len(), summary.skus);
    assert!(
        shop.import_lines.iter().all(|lines| *lines <= 200),
        "{:?}",
        shop.import_lines
    );
    assert_eq!(
        shop.categories["running-shoes"].as_deref(),
        Some(id("sports-outdoors").as_str())
    );
    assert!(SOLD_OUT_SKUS.iter().all(|sku| shop.stock[&id(sku)] == 0));
    for phase in [Phase::Categories, Phase::Products, Phase::Stock] {
        let last = progress.iter().rfind(|progress| progress.phase == phase).unwrap();
        assert_eq!(last.done, last.total);
    }
}

#[actix_web::test]
async fn a_second_load_changes_nothing_and_repeats_its_keys() {
    let (url, shop) = fake_gateway::start();
    load_into(&url, 300).await.unwrap();
    let stock = shop.lock().unwrap().stock.clone();
    let (summary, _) = load_into(&url, 300).await.unwrap();
    let shop = shop.lock().unwrap();
    assert_eq!((summary.categories_created, summary.categories_existing), (0, 25));
    assert_eq!((summary.products_created, summary.products_unchanged), (0, 300));
    assert_eq!(shop.stock, stock);
    let (first, second) = shop.keys.split_at(shop.keys.len() / 2);
    assert_eq!(first, second);
}

#[actix_web::test]
async fn a_limited_import_waits_and_a_category_created_meanwhile_is_used() {
    let (url, shop) = fake_gateway::start();
    {
        let mut shop = shop.lock().unwrap();
        shop.refuse_imports = 3;
        shop.categories.insert("electronics".to_owned(), None);
        shop.hidden.insert("electronics".to_owned());
    }
    let (summary, _) = load_into(&url, 50).await.unwrap();
    assert_eq!((summary.categories_created, summary.categories_existing), (24, 1));
    assert_eq!(shop.lock().unwrap().products.len(), 50);
}

#[actix_web::test]
async fn a_refused_product_fails_the_load_and_is_named() {
    let (url, shop) = fake_gateway::start();
    shop.lock()
        .unwrap()
        .refuse_handles
        .insert(SOLD_OUT_HANDLE.to_owned());
    let error = format!("{:#}", load_into(&url, 50).await.unwrap_err());
    assert!(error.contains(SOLD_OUT_HANDLE), "{error}");
}
