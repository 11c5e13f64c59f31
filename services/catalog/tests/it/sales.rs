//! Prices that hold for a time.

use std::sync::Arc;

use chrono::{TimeDelta, Timelike as _};
use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::ProductUpserted;
use ferrocart_test_kit::{Answer, Api, TestEnv, eventually};
use ferrocart_types::{Clock as _, MockClock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Catalog, category, id_of, product};

const IMAGES: &str = "https://cdn.example.com/w_{width}/{url}";

fn variant(answer: &Answer) -> &Value {
    &answer.json["variants"][0]
}

async fn authoritative(services: &Api, sku_id: &Value) -> Value {
    let body = json!({"sku_ids": [sku_id]});
    let answer = services.post("/internal/v1/prices", body).await.expect(200);
    answer.json["items"][0]["price"]["amount_minor"].clone()
}

/// The tag of this version, once the reader sees it.
async fn tag_of(reader: &Api, path: &str, version: i64) -> String {
    eventually("the version is seen", || async {
        let read = reader.get(path).await;
        (read.json["version"] == version).then(|| read.headers["etag"].to_str().unwrap().to_owned())
    })
    .await
}

/// Versions and prices, as the topic has them.
async fn told(env: &TestEnv) -> Vec<(i64, i64)> {
    let mut log = env.events(Topic::Catalog);
    let events = log.until("three versions", |events| events.len() >= 3).await;
    let told = events.iter().map(|event| {
        let product = event.decode::<ProductUpserted>().unwrap().product.unwrap();
        let price = product.variants[0].price.as_ref().unwrap();
        (product.version, price.amount_minor)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_begins_and_ends_by_itself_everywhere() {
    let env = Arc::new(TestEnv::new("catalog").await);
    let start = SystemClock.now().with_nanosecond(0).unwrap();
    let clock = MockClock::at(start);
    let catalog = Catalog::start_at(Arc::clone(&env), clock.clone(), |_| {}).await;
    let replica = Catalog::start_at(Arc::clone(&env), clock.clone(), |_| {}).await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut sent = product("runner", "shoes");
    let (from, until) = (start + TimeDelta::hours(1), start + TimeDelta::hours(2));
    sent["variants"][0]["sale"] = json!({
        "price": {"amount_minor": 4_900, "currency": "USD"}, "from": from, "until": until,
    });
    let created = merchant.post("/v1/products", &sent).await.expect(201);
    let path = format!("/v1/products/{}", id_of(&created.json));
    let sku_id = variant(&created)["sku_id"].clone();
    let services = catalog.api.with_token(env.keys.service_token("order", "catalog"));
    // The same again is no change.
    let again = merchant.put(&path, &sent).await.expect(200);
    assert_eq!(again.json["version"], 1);

    let readers = [catalog.anonymous(), replica.anonymous()];
    let list = format!("/v1/products:batch?ids={}", id_of(&created.json));
    let mut tags = Vec::new();
    for reader in &readers {
        let read = reader.get(&path).await.expect(200);
        assert_eq!(variant(&read)["price"]["amount_minor"], 9_900);
        assert_eq!(variant(&read).get("regular_price"), None);
        assert_eq!(read.json["price_changes_at"], json!(from));
        reader.get(&list).await.expect(200);
        tags.push(read.headers["etag"].to_str().unwrap().to_owned());
    }
    assert_eq!(authoritative(&services, &sku_id).await, 9_900);

    let mut versions = Vec::new();
    for (amount, regular, next) in [
        (4_900, json!(9_900), json!(until)),
        (9_900, Value::Null, Value::Null),
    ] {
        clock.advance(TimeDelta::hours(1));
        assert_eq!(authoritative(&services, &sku_id).await, amount);
        for (reader, tag) in readers.iter().zip(&tags) {
            // At once, out of warm caches, also for those who ask whether theirs is still right.
            let read = reader
                .send(Method::GET, &path, None::<&()>, &[("if-none-match", tag)])
                .await
                .expect(200);
            let listed = reader.get(&list).await.expect(200);
            for product in [&read.json, &listed.json["items"][0]] {
                assert_eq!(product["variants"][0]["price"]["amount_minor"], amount);
                assert_eq!(product["variants"][0]["regular_price"]["amount_minor"], regular);
                assert_eq!(product["price_changes_at"], next);
            }
        }
        versions.push(
            eventually("the change is a version", || async {
                let version = merchant.get(&path).await.json["version"].as_i64()?;
                (version > 1 && !versions.contains(&version)).then_some(version)
            })
            .await,
        );
        tags.clear();
        for reader in &readers {
            tags.push(tag_of(reader, &path, *versions.last().unwrap()).await);
        }
    }
    // Two workers looked; each change was told once, with the price that it brought.
    assert_eq!(versions, [2, 3]);
    assert_eq!(told(&env).await, [(1, 9_900), (2, 4_900), (3, 9_900)]);
    replica.stop().await;
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_in_the_sizes_that_the_cdn_has() {
    let catalog = Catalog::start_in(Arc::new(TestEnv::new("catalog").await), |settings| {
        IMAGES.clone_into(&mut settings.image_url_template);
        "1280,320".clone_into(&mut settings.image_widths);
    })
    .await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let mut sent = product("runner", "shoes");
    sent["images"] =
        json!([{"url": "https://img.example.com/1.jpg", "alt": "Side", "width": 800, "height": 600}]);
    let created = merchant.post("/v1/products", &sent).await.expect(201);
    let path = format!("/v1/products/{}", id_of(&created.json));
    let mut expected = sent["images"].clone();
    expected[0]["sizes"] = json!([
        {"width": 320, "url": "https://cdn.example.com/w_320/https%3A%2F%2Fimg.example.com%2F1.jpg"},
    ]);
    for read in [created, catalog.anonymous().get(&path).await.expect(200)] {
        assert_eq!(read.json["images"], expected);
    }
    // What is sent has no sizes: they are made.
    sent["images"] = expected;
    merchant
        .put(&path, &sent)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    catalog.stop().await;
}
