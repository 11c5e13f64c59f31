//! Categories, products, and who may change them.

use ferrocart_http_kit::Role;
use ferrocart_test_kit::Api;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Catalog, category, id_of, product};

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_read_changed_and_archived() {
    let catalog = Catalog::start().await;
    let (merchant_id, merchant) = catalog.user(Role::Merchant);
    let shoes = category(&merchant, "shoes", None).await;
    let sent = product("runner", "shoes");
    let created = merchant.post("/v1/products", &sent).await.expect(201);
    let id = id_of(&created.json);
    let path = format!("/v1/products/{id}");
    assert_eq!(created.headers["location"], path.as_str());
    assert_eq!(created.headers["etag"], "\"1\"");

    let anyone = catalog.anonymous();
    let read = anyone.get(&path).await.expect(200);
    assert_eq!(read.json, created.json);
    for (field, value) in sent.as_object().unwrap() {
        if field != "variants" {
            assert_eq!(&read.json[field], value, "{field}");
        }
    }
    assert_eq!(read.json["category_id"], shoes.as_str());
    assert_eq!(read.json["merchant_id"], merchant_id.to_string());
    assert_eq!(read.json["status"], "active");
    assert_eq!(
        read.json["rating"],
        json!({"average": 0.0, "count": 0, "histogram": [0, 0, 0, 0, 0]})
    );
    let sku_id = read.json["variants"][0]["sku_id"].clone();

    // PUT replaces: the old variant goes, and comes back under its old id.
    let mut other = product("runner", "shoes");
    other["variants"][0]["sku"] = json!("OTHER");
    let put = merchant.put(&path, &other).await.expect(200);
    assert_eq!(put.json["version"], 2);
    assert_ne!(put.json["variants"][0]["sku_id"], sku_id);
    let put = merchant.put(&path, &sent).await.expect(200);
    assert_eq!(put.json["variants"][0]["sku_id"], sku_id);
    assert_eq!(put.json["version"], 3);
    // The same again is no change.
    assert_eq!(merchant.put(&path, &sent).await.expect(200).json["version"], 3);

    let patch = json!({"title": "Runner II", "attributes": {"color": null, "sole": "hard"}});
    let patched = patch_with(&merchant, &path, &patch, None).await.expect(200);
    assert_eq!(patched.json["title"], "Runner II");
    assert_eq!(
        patched.json["attributes"],
        json!({"sole": "hard", "weight_g": 250.5, "waterproof": true, "lugs": 42})
    );
    assert_eq!(patched.json["brand"], "Alpina");

    merchant.delete(&path).await.expect(204);
    merchant.delete(&path).await.expect(204);
    anyone.get(&path).await.expect_problem(404, "PRODUCT_NOT_FOUND");
    let archived = merchant.get(&path).await.expect(200);
    assert_eq!(archived.json["status"], "archived");
    assert_eq!(archived.json["version"], 5);
    assert_eq!(archived.headers["cache-control"], "private, no-store");
    assert_eq!(
        anyone.get("/v1/products").await.expect(200).json["items"],
        json!([])
    );
    catalog.stop().await;
}

async fn patch_with(
    api: &Api,
    path: &str,
    body: &Value,
    if_match: Option<&str>,
) -> ferrocart_test_kit::Answer {
    let headers: Vec<(&str, &str)> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
    api.send(Method::PATCH, path, Some(body), &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_merchant_and_admins_change_a_product() {
    let catalog = Catalog::start().await;
    let owner = catalog.merchant();
    category(&owner, "shoes", None).await;
    let id = id_of(
        &owner
            .post("/v1/products", product("runner", "shoes"))
            .await
            .expect(201)
            .json,
    );
    let path = format!("/v1/products/{id}");
    let (stranger, admin) = (catalog.merchant(), catalog.user(Role::Admin).1);
    let patch = json!({"brand": "Mine"});

    patch_with(&stranger, &path, &patch, None)
        .await
        .expect_problem(403, "FORBIDDEN");
    stranger.delete(&path).await.expect_problem(403, "FORBIDDEN");
    stranger
        .put(&path, product("runner", "shoes"))
        .await
        .expect_problem(403, "FORBIDDEN");
    let customer = catalog.user(Role::Customer).1;
    customer.delete(&path).await.expect_problem(403, "FORBIDDEN");
    customer
        .post("/v1/products", product("x", "shoes"))
        .await
        .expect_problem(403, "FORBIDDEN");
    catalog
        .anonymous()
        .delete(&path)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    catalog
        .api
        .get(&path)
        .await
        .expect_problem(401, "UNAUTHENTICATED");

    // A draft does not exist for others, neither to read nor to change.
    patch_with(&owner, &path, &json!({"status": "draft"}), None)
        .await
        .expect(200);
    stranger.get(&path).await.expect_problem(404, "PRODUCT_NOT_FOUND");
    patch_with(&stranger, &path, &patch, None)
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    owner.get(&path).await.expect(200);
    let changed = patch_with(&admin, &path, &patch, None).await.expect(200);
    assert_eq!(changed.json["brand"], "Mine");
    // Another merchant's names and article numbers are free to use.
    stranger
        .post("/v1/products", product("runner", "shoes"))
        .await
        .expect(201);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_keeps_two_editors_apart() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let id = id_of(
        &merchant
            .post("/v1/products", product("runner", "shoes"))
            .await
            .expect(201)
            .json,
    );
    let path = format!("/v1/products/{id}");
    let edits = (0..10).map(|n| {
        let (merchant, path) = (merchant.clone(), path.clone());
        async move {
            patch_with(
                &merchant,
                &path,
                &json!({"title": format!("Title {n}")}),
                Some("\"1\""),
            )
            .await
            .status
            .as_u16()
        }
    });
    let mut outcomes = futures::future::join_all(edits).await;
    outcomes.sort_unstable();
    assert_eq!(outcomes, [vec![200], vec![412; 9]].concat());
    let refused = patch_with(&merchant, &path, &json!({"title": "x"}), Some("\"1\"")).await;
    assert_eq!(
        refused.expect_problem(412, "PRECONDITION_FAILED").json["version"],
        2
    );
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_saves_the_body() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let id = id_of(
        &merchant
            .post("/v1/products", product("runner", "shoes"))
            .await
            .expect(201)
            .json,
    );
    let path = format!("/v1/products/{id}");
    let anyone = catalog.anonymous();
    let first = anyone.get(&path).await.expect(200);
    assert_eq!(
        first.headers["cache-control"],
        "public, max-age=5, s-maxage=60, stale-while-revalidate=30, stale-if-error=300"
    );
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let again = anyone
        .send(Method::GET, &path, None::<&Value>, &[("if-none-match", &tag)])
        .await
        .expect(304);
    assert_eq!(again.text, "");
    assert_eq!(again.headers["etag"], tag.as_str());
    patch_with(&merchant, &path, &json!({"title": "New"}), None)
        .await
        .expect(200);
    let changed = anyone
        .send(Method::GET, &path, None::<&Value>, &[("if-none-match", &tag)])
        .await
        .expect(200);
    assert_eq!(changed.json["title"], "New");
    catalog.stop().await;
}

/// Breaks a product.
type Break = fn(&mut Value);

/// How a product is broken, and what the answer must say of it.
const BROKEN: [(Break, u16, &str, &str); 13] = [
    (
        |p| p["handle"] = json!("No Slug"),
        400,
        "VALIDATION_ERROR",
        "handle",
    ),
    (|p| p["title"] = json!(""), 400, "VALIDATION_ERROR", "title"),
    (
        |p| p["title"] = json!("a\u{0}b"),
        400,
        "VALIDATION_ERROR",
        "title",
    ),
    (
        |p| p["description"] = json!("x".repeat(20_001)),
        400,
        "VALIDATION_ERROR",
        "description",
    ),
    (
        |p| p["category"] = json!("nowhere"),
        400,
        "VALIDATION_ERROR",
        "category",
    ),
    (|p| p["colour"] = json!("red"), 400, "VALIDATION_ERROR", "colour"),
    (
        |p| p["attributes"]["a"] = json!([1]),
        400,
        "VALIDATION_ERROR",
        "attributes.a",
    ),
    (|p| p["variants"] = json!([]), 400, "VALIDATION_ERROR", "variants"),
    (
        |p| p["variants"][0]["price"]["amount_minor"] = json!(1_000_000_000_001_i64),
        400,
        "VALIDATION_ERROR",
        "variants[0].price",
    ),
    (
        |p| p["variants"][0]["price"]["amount_minor"] = json!(9.5),
        400,
        "VALIDATION_ERROR",
        "variants[0].price.amount_minor",
    ),
    (
        |p| p["images"][0]["url"] = json!("ftp://x/y"),
        400,
        "VALIDATION_ERROR",
        "images[0].url",
    ),
    (|p| p["handle"] = json!("taken"), 409, "HANDLE_EXISTS", "handle"),
    (
        |p| p["variants"][0]["sku"] = json!("TAKEN-42"),
        409,
        "SKU_EXISTS",
        "variants[0].sku",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    merchant
        .post("/v1/categories", json!({"slug": "shoes", "name": "Again"}))
        .await
        .expect_problem(409, "CATEGORY_EXISTS");
    merchant
        .post(
            "/v1/categories",
            json!({"slug": "x", "name": "X", "parent_id": "00000000-0000-0000-0000-000000000000"}),
        )
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    merchant
        .post("/v1/products", product("taken", "shoes"))
        .await
        .expect(201);

    for (change, status, code, field) in BROKEN {
        let mut body = product("fresh", "shoes");
        change(&mut body);
        let answer = merchant
            .post("/v1/products", &body)
            .await
            .expect_problem(status, code);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
    }
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    let catalog = Catalog::start().await;
    let anyone = catalog.anonymous();
    anyone
        .get("/v1/products/none")
        .await
        .expect_problem(400, "INVALID_PRODUCT_ID");
    anyone
        .get("/v1/products?limit=0")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    anyone
        .get("/v1/products?cursor=x")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    anyone
        .get("/v1/products?category=nowhere")
        .await
        .expect_problem(404, "CATEGORY_NOT_FOUND");
    let many = vec!["00000000-0000-0000-0000-000000000000"; 101].join(",");
    anyone
        .get(&format!("/v1/products:batch?ids={many}"))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_for_services_alone() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    category(&merchant, "shoes", None).await;
    let created = merchant
        .post("/v1/products", product("runner", "shoes"))
        .await
        .expect(201);
    let sku_id = created.json["variants"][0]["sku_id"].clone();
    let body = json!({"sku_ids": [sku_id, "00000000-0000-0000-0000-000000000000"]});
    merchant
        .post("/internal/v1/prices", &body)
        .await
        .expect_problem(403, "FORBIDDEN");

    let cart = catalog
        .api
        .with_token(catalog.env.keys.service_token("cart", "catalog"));
    let answer = cart.post("/internal/v1/prices", &body).await.expect(200);
    assert_eq!(
        answer.json["items"],
        json!([{
            "sku_id": sku_id, "product_id": created.json["product_id"], "merchant_id": created.json["merchant_id"],
            "sku": "RUNNER-42", "title": "Product runner", "options": {"size": "42"},
            "price": {"amount_minor": 9_900, "currency": "USD"}, "status": "active",
        }])
    );
    // A variant that was dropped may no longer be sold, though its product may.
    let mut other = product("runner", "shoes");
    other["variants"][0]["sku"] = json!("OTHER");
    let path = format!("/v1/products/{}", id_of(&created.json));
    merchant.put(&path, other).await.expect(200);
    let answer = cart.post("/internal/v1/prices", &body).await.expect(200);
    assert_eq!(answer.json["items"][0]["status"], "archived");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_describes_itself() {
    let catalog = Catalog::start().await;
    let document = catalog.api.get("/openapi.json").await.expect(200).json;
    for path in [
        "/v1/categories",
        "/v1/products",
        "/v1/products/{product_id}",
        "/v1/products:batch",
        "/v1/products:import",
        "/v1/products/{product_id}/reviews",
        "/internal/v1/prices",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    catalog.api.get("/health/ready").await.expect(200);
    catalog.api.get("/health/live").await.expect(200);
    catalog.stop().await;
}
