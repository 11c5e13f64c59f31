use ferrocart_test_kit::eventually;

use crate::world::World;

#[tokio::test]
async fn the_document_joins_the_public_calls_of_all_services() {
    let world = World::new().await;
    let document = eventually("the services' part of the document", || async {
        let document = world.api.get("/v1/openapi.json").await.expect(200).json;
        (!document["paths"]["/v1/products"].is_null()).then_some(document)
    })
    .await;
    assert_eq!(
        document["openapi"].as_str().unwrap_or_default().get(..3),
        Some("3.1")
    );
    assert_eq!(document["paths"]["/v1/products"]["get"]["summary"], "Browse");
    assert!(document["paths"]["/internal/v1/prices"].is_null());
    assert!(document["paths"]["/v1/secret"].is_null());
    assert!(document["paths"]["/v1/users"]["post"].is_object());
    assert!(document["paths"]["/v1/orders/{order_id}/events"]["get"].is_object());
    let roles = &document["paths"]["/v1/users/{user_id}/roles"]["put"]["x-roles"];
    assert_eq!(roles, &serde_json::json!(["admin"]));
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let world = World::new().await;
    let page = world.api.get("/docs").await.expect(200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://"),
        "an outside address"
    );
    assert!(!page.text.contains("/*script*/") && page.text.contains("'use strict'"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("script-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[tokio::test]
async fn health_says_how_the_services_are() {
    let world = World::with(|settings| settings.upstreams.cart_url = "http://127.0.0.1:1".to_owned()).await;
    world.api.get("/health/live").await.expect(200);
    world.api.get("/health/ready").await.expect(200);
    let states = eventually("the services' states", || async {
        let states = world.api.get("/health/upstreams").await.expect(200).json;
        (states["catalog"]["status"] == "ready").then_some(states)
    })
    .await;
    assert_eq!(states["cart"]["status"], "not ready");
}

#[tokio::test]
async fn a_call_that_goes_away_says_so() {
    let going = "GET /v1/products since 2027-01-01 until 2027-07-01 see https://shop.example.com/v2";
    let world = World::with(|settings| settings.deprecations = vec![going.parse().unwrap()]).await;
    let answer = world.api.get("/v1/products").await;
    assert_eq!(answer.headers["deprecation"], "@1798761600");
    assert_eq!(answer.headers["sunset"], "Thu, 01 Jul 2027 00:00:00 GMT");
    assert!(
        answer.headers["link"]
            .to_str()
            .unwrap()
            .contains("rel=\"deprecation\"")
    );
    let stays = world.api.get("/v1/products/x").await;
    assert!(!stays.headers.contains_key("deprecation"));
    let other = world.api.post("/v1/products", "{}").await;
    assert!(!other.headers.contains_key("deprecation"));
    let document = eventually("the services' part of the document", || async {
        let document = world.api.get("/openapi.json").await.expect(200).json;
        (!document["paths"]["/v1/products"].is_null()).then_some(document)
    })
    .await;
    assert_eq!(document["paths"]["/v1/products"]["get"]["deprecated"], true);
}
