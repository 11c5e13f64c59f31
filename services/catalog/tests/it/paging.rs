//! Browsing.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Catalog, category, id_of, product};

#[tokio::test(flavor = "multi_thread")]
async fn paging_shows_each_product_once_while_others_are_added() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut wanted = HashSet::new();
    for n in 0..45 {
        let created = merchant
            .post("/v1/products", product(&format!("p-{n}"), "shoes"))
            .await
            .expect(201);
        wanted.insert(id_of(&created.json));
    }
    let anyone = catalog.anonymous();
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let path = match &cursor {
            Some(cursor) => format!("/v1/products?limit=10&cursor={cursor}"),
            None => "/v1/products?limit=10".to_owned(),
        };
        let page = anyone.get(&path).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(id_of));
        pages += 1;
        // Between two pages the list grows at its head.
        merchant
            .post("/v1/products", product(&format!("later-{pages}"), "shoes"))
            .await
            .expect(201);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(pages, 5);
    let distinct: HashSet<String> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "a product was shown twice");
    assert_eq!(distinct, wanted);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_shows_what_is_below_it_and_brands_narrow_it() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let root = category(&merchant, "sport", None).await;
    let shoes = category(&merchant, "shoes", Some(&root)).await;
    category(&merchant, "trail-shoes", Some(&shoes)).await;
    category(&merchant, "food", None).await;
    for (handle, slug, brand) in [
        ("a", "trail-shoes", "Alpina"),
        ("b", "shoes", "Brook"),
        ("c", "food", "Alpina"),
        ("d", "sport", "Alpina"),
    ] {
        let mut body = product(handle, slug);
        body["brand"] = brand.into();
        merchant.post("/v1/products", body).await.expect(201);
    }
    let anyone = catalog.anonymous();
    let handles = |query: String| {
        let anyone = anyone.clone();
        async move {
            let page = anyone
                .get(&format!("/v1/products?{query}"))
                .await
                .expect(200)
                .json;
            let items = page["items"].as_array().unwrap().clone();
            let handles: Vec<Value> = items.iter().map(|item| item["handle"].clone()).collect();
            Value::from(handles).to_string()
        }
    };
    assert_eq!(handles("category=sport".into()).await, r#"["d","b","a"]"#);
    assert_eq!(handles("category=shoes".into()).await, r#"["b","a"]"#);
    assert_eq!(handles(format!("category={shoes}")).await, r#"["b","a"]"#);
    assert_eq!(
        handles("category=sport&brand=Alpina".into()).await,
        r#"["d","a"]"#
    );
    assert_eq!(handles("brand=Alpina".into()).await, r#"["d","c","a"]"#);
    assert_eq!(handles("brand=Nobody".into()).await, "[]");
    let tree = anyone.get("/v1/categories").await.expect(200).json;
    assert_eq!(tree["items"].as_array().unwrap().len(), 4);
    assert_eq!(tree["items"][2]["parent_id"], root.as_str());
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_in_order_and_leaves_out_what_is_not_sold() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut ids = Vec::new();
    for handle in ["a", "b", "c"] {
        let created = merchant
            .post("/v1/products", product(handle, "shoes"))
            .await
            .expect(201);
        ids.push(id_of(&created.json));
    }
    merchant
        .delete(&format!("/v1/products/{}", ids[1]))
        .await
        .expect(204);
    let unknown = "00000000-0000-0000-0000-000000000000";
    let path = format!(
        "/v1/products:batch?ids={},{unknown},{},{}",
        ids[2], ids[1], ids[0]
    );
    let anyone = catalog.anonymous();
    // Cold, from Redis' point of view and from this process' own, then warm.
    for _ in 0..3 {
        let items = anyone.get(&path).await.expect(200).json["items"].clone();
        let seen: Vec<String> = items.as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(seen, [ids[2].clone(), ids[0].clone()]);
    }
    catalog.stop().await;
}
