//! Reviews that are changed, removed, voted for and moderated.

use std::sync::Arc;

use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::ProductUpserted;
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api, TestEnv, eventually};
use ferrocart_types::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::reviews::new_product;
use crate::support::Catalog;

/// A customer who got the product.
async fn buyer(catalog: &Catalog, pool: &PgPool, product: &str) -> Api {
    let (id, customer) = catalog.user(Role::Customer);
    sqlx::query("INSERT INTO delivered_purchases VALUES ($1, $2::uuid, $3)")
        .bind(id.as_uuid())
        .bind(product)
        .bind(SystemClock.now())
        .execute(pool)
        .await
        .unwrap();
    customer
}

fn stars(rating: i64) -> Value {
    json!({"rating": rating, "title": format!("{rating} stars"), "body": "Really."})
}

async fn put(api: &Api, path: &str) -> Answer {
    api.send(Method::PUT, path, None::<&Value>, &[]).await
}

async fn rating(catalog: &Catalog, product: &str) -> Value {
    let read = catalog.anonymous().get(&format!("/v1/products/{product}")).await;
    read.expect(200).json["rating"].clone()
}

fn path_of(review: &Value) -> String {
    let id = |name: &str| review[name].as_str().unwrap().to_owned();
    format!("/v1/products/{}/reviews/{}", id("product_id"), id("review_id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_changed_and_removed_by_its_author_alone() {
    let catalog = Catalog::start().await;
    let product = new_product(&catalog.merchant()).await;
    let pool = catalog.pool().await;
    let (author, other) = (
        buyer(&catalog, &pool, &product).await,
        buyer(&catalog, &pool, &product).await,
    );
    let reviews = format!("/v1/products/{product}/reviews");
    let written = author.post(&reviews, stars(2)).await.expect(201).json;
    let path = path_of(&written);
    let again = author
        .post(&reviews, stars(3))
        .await
        .expect_problem(409, "REVIEW_EXISTS");
    assert_eq!(again.json["review_id"], written["review_id"]);

    other
        .put(&path, stars(1))
        .await
        .expect_problem(404, "REVIEW_NOT_FOUND");
    other.delete(&path).await.expect_problem(404, "REVIEW_NOT_FOUND");
    catalog
        .merchant()
        .delete(&path)
        .await
        .expect_problem(403, "FORBIDDEN");
    let invalid = author
        .put(&path, stars(6))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(invalid.json["errors"][0]["field"], "rating");

    let changed = author.put(&path, stars(5)).await.expect(200).json;
    assert_eq!(
        (&changed["rating"], &changed["title"]),
        (&json!(5), &json!("5 stars"))
    );
    assert!(changed["edited_at"].is_string());
    assert_eq!(
        rating(&catalog, &product).await,
        json!({"average": 5.0, "count": 1, "histogram": [0, 0, 0, 0, 1]})
    );
    let list = catalog.anonymous().get(&reviews).await.expect(200).json;
    assert_eq!(list["items"], json!([changed]));

    author.delete(&path).await.expect(204);
    author.delete(&path).await.expect_problem(404, "REVIEW_NOT_FOUND");
    let none = json!({"average": 0.0, "count": 0, "histogram": [0, 0, 0, 0, 0]});
    assert_eq!(rating(&catalog, &product).await, none);
    assert_eq!(
        catalog.anonymous().get(&reviews).await.expect(200).json["items"],
        json!([])
    );
    // Whoever removed a review may write one again.
    author.post(&reviews, stars(4)).await.expect(201);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_review_is_neither_shown_nor_counted() {
    let env = Arc::new(TestEnv::new("catalog").await);
    let catalog = Catalog::start_in(env, |settings| settings.reviews_need_approval = true).await;
    let product = new_product(&catalog.merchant()).await;
    let pool = catalog.pool().await;
    let author = buyer(&catalog, &pool, &product).await;
    let (_, moderator) = catalog.user(Role::Support);
    let anyone = catalog.anonymous();
    let reviews = format!("/v1/products/{product}/reviews");
    let written = author.post(&reviews, stars(1)).await.expect(201).json;
    assert_eq!(written["status"], "pending");
    let path = path_of(&written);
    let status = format!("{path}/status");
    let shown = || async {
        let list = anyone.get(&reviews).await.expect(200).json;
        let count = rating(&catalog, &product).await["count"].clone();
        (list["items"].as_array().unwrap().len(), count)
    };
    assert_eq!(shown().await, (0, json!(0)));

    author
        .put(&status, json!({"status": "published"}))
        .await
        .expect_problem(403, "FORBIDDEN");
    author
        .get("/v1/admin/reviews")
        .await
        .expect_problem(403, "FORBIDDEN");
    let waiting = moderator.get("/v1/admin/reviews").await.expect(200).json;
    assert_eq!(waiting["items"], json!([written]));
    for (body, expected) in [
        ("published", (1, json!(1))),
        ("rejected", (0, json!(0))),
        ("published", (1, json!(1))),
    ] {
        moderator
            .put(&status, json!({ "status": body }))
            .await
            .expect(200);
        assert_eq!(shown().await, expected, "{body}");
    }
    // Changed, it waits again.
    let changed = author.put(&path, stars(5)).await.expect(200).json;
    assert_eq!(changed["status"], "pending");
    assert_eq!(shown().await, (0, json!(0)));
    moderator.delete(&path).await.expect(204);
    let waiting = moderator.get("/v1/admin/reviews").await.expect(200).json;
    assert_eq!(waiting["items"], json!([]));
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn votes_are_counted_once_for_each_customer() {
    let catalog = Catalog::start().await;
    let product = new_product(&catalog.merchant()).await;
    let pool = catalog.pool().await;
    let author = buyer(&catalog, &pool, &product).await;
    let written = author
        .post(&format!("/v1/products/{product}/reviews"), stars(4))
        .await
        .expect(201)
        .json;
    let helpful = format!("{}/helpful", path_of(&written));
    put(&author, &helpful).await.expect_problem(403, "FORBIDDEN");
    let voters: Vec<Api> = (0..20).map(|_| catalog.user(Role::Customer).1).collect();
    // Each of them twice, all at once.
    let votes = voters.iter().chain(&voters).map(|voter| put(voter, &helpful));
    for vote in futures::future::join_all(votes).await {
        vote.expect(200);
    }
    assert_eq!(
        put(&voters[0], &helpful).await.expect(200).json["helpful_count"],
        20
    );
    let back = voters[..5]
        .iter()
        .chain(&voters[..5])
        .map(|voter| voter.delete(&helpful));
    for vote in futures::future::join_all(back).await {
        vote.expect(200);
    }
    let anyone = catalog.anonymous();
    let list = format!("/v1/products/{product}/reviews");
    eventually("the list shows the votes", || async {
        let list = anyone.get(&list).await.expect(200).json;
        (list["items"][0]["helpful_count"] == 15).then_some(())
    })
    .await;
    let nothing = format!("/v1/products/{product}/reviews/{product}/helpful");
    put(&voters[0], &nothing)
        .await
        .expect_problem(404, "REVIEW_NOT_FOUND");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rating_is_exact_whatever_happens_at_once() {
    let catalog = Catalog::start().await;
    let product = new_product(&catalog.merchant()).await;
    let pool = catalog.pool().await;
    let (_, moderator) = catalog.user(Role::Admin);
    let reviews = format!("/v1/products/{product}/reviews");
    let mut authors = Vec::new();
    for _ in 0..40 {
        authors.push(buyer(&catalog, &pool, &product).await);
    }
    let lives = authors.iter().zip(0_i64..).map(|(author, n)| {
        let (reviews, moderator) = (&reviews, &moderator);
        async move {
            let written = author.post(reviews, stars(n % 5 + 1)).await.expect(201).json;
            let path = path_of(&written);
            match n % 4 {
                0 => drop(author.put(&path, stars(5)).await.expect(200)),
                1 => drop(author.delete(&path).await.expect(204)),
                2 => {
                    let rejected = json!({"status": "rejected"});
                    moderator
                        .put(&format!("{path}/status"), rejected)
                        .await
                        .expect(200);
                }
                _ => {}
            }
        }
    });
    futures::future::join_all(lives).await;
    let mut histogram = [0_i64; 5];
    for n in 0_usize..40 {
        match n % 4 {
            0 => histogram[4] += 1,
            3 => histogram[n % 5] += 1,
            _ => {}
        }
    }
    let read = rating(&catalog, &product).await;
    assert_eq!(read["histogram"], json!(histogram));
    assert_eq!(read["count"], 20);
    // 40 written, 30 of them changed: each a version, the last of which tells search of the rating.
    let mut events = catalog.env.events(Topic::Catalog);
    let (_, last) = events
        .find::<ProductUpserted>(|event| event.product.as_ref().unwrap().version == 71)
        .await;
    assert_eq!(last.product.unwrap().rating_count, 20);
    catalog.stop().await;
}
