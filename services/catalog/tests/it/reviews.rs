//! Reviews, and who may write one.

use ferrocart_contracts::v1::{Order, OrderDelivered, OrderLine, ProductUpserted};
use ferrocart_contracts::{Event, Topic};
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Api, eventually};
use ferrocart_types::{Clock, IdGen, SystemClock, SystemIds, UserId};
use serde_json::{Value, json};

use crate::support::{Catalog, category, id_of, product};

fn delivered(customer: UserId, products: &[&str], guest: bool) -> OrderDelivered {
    let lines = products.iter().map(|product_id| OrderLine {
        sku_id: SystemIds.next().to_string(),
        product_id: (*product_id).to_owned(),
        quantity: 1,
        ..OrderLine::default()
    });
    OrderDelivered {
        order: Some(Order {
            order_id: SystemIds.next().to_string(),
            customer_id: customer.to_string(),
            guest,
            lines: lines.collect(),
            sequence: 5,
            ..Order::default()
        }),
    }
}

async fn may_review(pool: &sqlx::PgPool, customer: UserId) -> Option<()> {
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM delivered_purchases WHERE customer_id = $1)")
            .bind(customer.as_uuid())
            .fetch_one(pool)
            .await
            .unwrap();
    known.then_some(())
}

pub(crate) async fn new_product(merchant: &Api) -> String {
    category(merchant, "shoes", None).await;
    id_of(
        &merchant
            .post("/v1/products", product("runner", "shoes"))
            .await
            .expect(201)
            .json,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_needs_a_delivery_and_is_written_once() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let id = new_product(&merchant).await;
    let path = format!("/v1/products/{id}/reviews");
    let (customer_id, customer) = catalog.user(Role::Customer);
    let review = json!({"rating": 4, "title": "Good", "body": "It grips.\nReally."});

    customer
        .post(&path, &review)
        .await
        .expect_problem(403, "REVIEW_NOT_ALLOWED");
    catalog
        .anonymous()
        .post(&path, &review)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    merchant
        .post(&path, &review)
        .await
        .expect_problem(403, "FORBIDDEN");

    // Delivered twice, in one order with the product on two lines: still one review.
    let event = delivered(customer_id, &[&id, &id], false);
    catalog.env.publish("order", &event).await;
    catalog
        .env
        .publish("order", &delivered(customer_id, &[&id], false))
        .await;
    let pool = catalog.pool().await;
    eventually("the delivery is known", || may_review(&pool, customer_id)).await;

    for bad in [
        json!({"rating": 0, "title": "x"}),
        json!({"rating": 6, "title": "x"}),
        json!({"rating": 4.5, "title": "x"}),
    ] {
        let refused = customer
            .post(&path, &bad)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.json["errors"][0]["field"], "rating", "{}", refused.text);
    }
    let written = customer.post(&path, &review).await.expect(201);
    assert_eq!(written.json["rating"], 4);
    customer
        .post(&path, &review)
        .await
        .expect_problem(409, "REVIEW_EXISTS");

    let read = catalog
        .anonymous()
        .get(&format!("/v1/products/{id}"))
        .await
        .expect(200);
    assert_eq!(
        read.json["rating"],
        json!({"average": 4.0, "count": 1, "histogram": [0, 0, 0, 1, 0]})
    );
    let list = catalog.anonymous().get(&path).await.expect(200);
    assert_eq!(list.json["items"], json!([written.json]));
    let unknown = "/v1/products/00000000-0000-0000-0000-000000000000/reviews";
    customer
        .post(unknown, &review)
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reviews_at_once_give_the_exact_average() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let id = new_product(&merchant).await;
    let pool = catalog.pool().await;
    let mut customers = Vec::new();
    for _ in 0..100 {
        let (customer_id, customer) = catalog.user(Role::Customer);
        sqlx::query("INSERT INTO delivered_purchases VALUES ($1, $2::uuid, $3)")
            .bind(customer_id.as_uuid())
            .bind(&id)
            .bind(SystemClock.now())
            .execute(&pool)
            .await
            .unwrap();
        customers.push(customer);
    }
    let path = format!("/v1/products/{id}/reviews");
    let writes = customers.iter().zip(1_i64..).map(|(customer, n)| {
        let path = &path;
        async move {
            let review = json!({"rating": n % 5 + 1, "title": format!("Review {n}")});
            // The same customer twice at once: one of them is refused.
            // A crowd at one row may be told to come again: then it does.
            let write = || {
                eventually("the review is decided", || async {
                    let answer = customer.post(path, &review).await;
                    (answer.status.as_u16() != 503).then_some(answer)
                })
            };
            let (first, second) = tokio::join!(write(), write());
            let mut outcomes = [first.status.as_u16(), second.status.as_u16()];
            outcomes.sort_unstable();
            assert_eq!(outcomes, [201, 409], "{} {}", first.text, second.text);
        }
    });
    futures::future::join_all(writes).await;

    let expected: i64 = (1_i64..=100).map(|n| n % 5 + 1).sum();
    assert_eq!(expected, 300);
    let anyone = catalog.anonymous();
    let read = anyone.get(&format!("/v1/products/{id}")).await.expect(200);
    assert_eq!(
        read.json["rating"],
        json!({"average": 3.0, "count": 100, "histogram": [20, 20, 20, 20, 20]})
    );
    assert_eq!(read.json["version"], 101);
    let mut seen: Vec<Value> = Vec::new();
    let mut query = "?limit=30".to_owned();
    loop {
        let page = anyone.get(&format!("{path}{query}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=30&cursor={cursor}");
    }
    assert_eq!(seen.len(), 100);

    // Search learns of the rating from the events, the last of which has it exactly.
    let mut events = catalog.env.events(Topic::Catalog);
    let (_, last) = events
        .find::<ProductUpserted>(|event| event.product.as_ref().unwrap().version == 101)
        .await;
    let last = last.product.unwrap();
    assert_eq!((last.rating_hundredths, last.rating_count), (300, 100));
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_s_delivery_lets_nobody_review_and_a_bad_event_stops_nothing() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let id = new_product(&merchant).await;
    let ((guest_id, _), (customer_id, _)) = (catalog.user(Role::Guest), catalog.user(Role::Customer));
    let mut broken = delivered(customer_id, &[&id], false);
    broken.order.as_mut().unwrap().customer_id = "nobody".into();
    let key = broken.key().to_owned();
    catalog.env.publish("order", &broken).await;
    // The same key, so the same partition: it comes after the broken one.
    for (customer, guest) in [(guest_id, true), (customer_id, false)] {
        let mut event = delivered(customer, &[&id], guest);
        event.order.as_mut().unwrap().order_id.clone_from(&key);
        catalog.env.publish("order", &event).await;
    }
    let pool = catalog.pool().await;
    eventually("the delivery behind is known", || may_review(&pool, customer_id)).await;
    assert!(may_review(&pool, guest_id).await.is_none());
    catalog.stop().await;
}
