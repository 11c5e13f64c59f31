//! What categories say of their products' attributes.

#![allow(clippy::too_many_lines, reason = "one story, read from top to bottom")]

use ferrocart_http_kit::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bulk;
use crate::support::{Catalog, category, id_of, product};

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_held_to_what_their_category_and_those_above_it_say() {
    let catalog = Catalog::start().await;
    let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    let merchant = catalog.api.with_token(&token);
    let (_, admin) = catalog.user(Role::Admin);
    let root = category(&merchant, "sport", None).await;
    let leaf = category(&merchant, "shoes", Some(&root)).await;
    category(&merchant, "other", None).await;
    let path = |id: &str| format!("/v1/categories/{id}/attributes");
    let old = merchant
        .post("/v1/products", product("old", "shoes"))
        .await
        .expect(201)
        .json;

    let rules = json!({"additional": false, "attributes": [
        {"name": "color", "type": "text", "required": true, "one_of": ["blue", "red"]},
        {"name": "weight_g", "type": "number", "min": 1, "max": 2_000},
        {"name": "waterproof", "type": "boolean"}]});
    let put = admin.put(&path(&root), &rules).await.expect(200).json;
    assert_eq!(put["additional"], false);
    assert_eq!(put["effective"]["attributes"].as_array().unwrap().len(), 3);
    let more = json!({"attributes": [{"name": "lugs", "type": "number", "required": true}]});
    let put = admin.put(&path(&leaf), &more).await.expect(200).json;
    assert_eq!(
        put["attributes"],
        more["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| {
                let mut rule = rule.clone();
                rule["required"] = json!(true);
                rule
            })
            .collect::<Value>()
    );
    assert_eq!(put["effective"]["additional"], false);
    let read = merchant.get(&path(&leaf)).await.expect(200).json;
    assert_eq!(read, put);

    // By a single write.
    merchant
        .post("/v1/products", product("good", "shoes"))
        .await
        .expect(201);
    let mut bad = product("bad", "shoes");
    bad["attributes"] = json!({"color": "green", "weight_g": 0, "waterproof": "yes", "sole": "hard"});
    let refused = merchant
        .post("/v1/products", &bad)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(
        fields(&refused.json),
        [
            "attributes.color",
            "attributes.sole",
            "attributes.waterproof",
            "attributes.weight_g",
            "attributes.lugs"
        ]
    );
    // In the root's category one of them is not known.
    let refused = merchant.post("/v1/products", product("bad", "sport")).await;
    assert_eq!(
        fields(&refused.expect_problem(400, "VALIDATION_ERROR").json),
        ["attributes.lugs"]
    );
    bad["category"] = json!("other");
    merchant.post("/v1/products", &bad).await.expect(201);
    // By an import.
    bad["category"] = json!("shoes");
    bad["handle"] = json!("worse");
    bad["variants"][0]["sku"] = json!("WORSE");
    let lines = format!("{}\n{bad}\n", product("better", "shoes"));
    let sent = bulk::send(&catalog, &token, ("application/x-ndjson", ""), &lines).await;
    assert_eq!(sent.lines[0]["status"], "created");
    assert_eq!(fields(&sent.lines[1]).len(), 5);
    // A draft need not be complete.
    let mut draft = product("draft", "shoes");
    draft["status"] = json!("draft");
    draft["attributes"] = json!({"color": "red"});
    let draft = merchant.post("/v1/products", draft).await.expect(201).json;
    let change = |id: String, change: Value| {
        let merchant = merchant.clone();
        async move {
            let path = format!("/v1/products/{id}");
            merchant.send(Method::PATCH, &path, Some(&change), &[]).await
        }
    };
    let refused = change(id_of(&draft), json!({"status": "active"})).await;
    assert_eq!(
        fields(&refused.expect_problem(400, "VALIDATION_ERROR").json),
        ["attributes.lugs"]
    );
    change(
        id_of(&draft),
        json!({"status": "active", "attributes": {"lugs": 4}}),
    )
    .await
    .expect(200);

    // Rules that are younger than a product hold when it is touched.
    let stricter = json!({"attributes": [{"name": "lugs", "type": "number", "max": 10}]});
    admin.put(&path(&leaf), stricter).await.expect(200);
    change(id_of(&old), json!({"title": "New title"}))
        .await
        .expect(200);
    let refused = change(id_of(&old), json!({"attributes": {"color": "red"}})).await;
    assert_eq!(
        fields(&refused.expect_problem(400, "VALIDATION_ERROR").json),
        ["attributes.lugs"]
    );
    merchant
        .delete(&format!("/v1/products/{}", id_of(&old)))
        .await
        .expect(204);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_categories_say_is_the_administrators() {
    let catalog = Catalog::start().await;
    let merchant = catalog.merchant();
    let (_, admin) = catalog.user(Role::Admin);
    let shoes = category(&merchant, "shoes", None).await;
    let path = format!("/v1/categories/{shoes}/attributes");
    let none = json!({"attributes": []});
    merchant.put(&path, &none).await.expect_problem(403, "FORBIDDEN");
    let read = merchant.get(&path).await.expect(200).json;
    assert_eq!(
        read,
        json!({"attributes": [], "effective": {"attributes": [], "additional": true}})
    );
    let twice = json!({"attributes": [{"name": "a", "type": "text"}, {"name": "a", "type": "text"}]});
    admin
        .put(&path, twice)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    let unknown = "/v1/categories/00000000-0000-0000-0000-000000000000/attributes";
    admin
        .put(unknown, &none)
        .await
        .expect_problem(404, "CATEGORY_NOT_FOUND");
    merchant
        .get(unknown)
        .await
        .expect_problem(404, "CATEGORY_NOT_FOUND");
    merchant
        .get("/v1/categories/7/attributes")
        .await
        .expect_problem(400, "INVALID_CATEGORY_ID");
    let (_, customer) = catalog.user(Role::Customer);
    customer.get(&path).await.expect_problem(403, "FORBIDDEN");
    catalog.stop().await;
}
