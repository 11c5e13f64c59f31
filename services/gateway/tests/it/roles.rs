use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, access, fresh};

const ANYONE: &str = "anonymous guest customer merchant warehouse support admin";
const LOGGED_IN: &str = "guest customer merchant warehouse support admin";
const SHOPPER: &str = "guest customer";
const CUSTOMER: &str = "customer";
const MERCHANT: &str = "merchant admin";
const STOCK_INSPECTOR: &str = "merchant support admin";
const WAREHOUSE: &str = "warehouse admin";
const REVIEW_REMOVER: &str = "customer support admin";
const SUPPORT: &str = "support admin";
const ADMIN: &str = "admin";

/// Who may call what, written a second time and by hand: the gateway's own table must say the same.
const TABLE: &[(&str, &str, &str)] = &[
    ("POST", "/v1/users", ANYONE),
    ("GET", "/v1/users/{id}", LOGGED_IN),
    ("PUT", "/v1/users/{id}", LOGGED_IN),
    ("PATCH", "/v1/users/{id}", LOGGED_IN),
    ("PUT", "/v1/users/{id}/roles", ADMIN),
    ("DELETE", "/v1/users/{id}/sessions", LOGGED_IN),
    ("POST", "/v1/users/{id}/api-keys", LOGGED_IN),
    ("GET", "/v1/users/{id}/api-keys", LOGGED_IN),
    ("DELETE", "/v1/users/{id}/api-keys/{id}", LOGGED_IN),
    ("POST", "/v1/auth/token", ANYONE),
    ("POST", "/v1/auth/refresh", ANYONE),
    ("POST", "/v1/auth/logout", ANYONE),
    ("POST", "/v1/auth/guest", ANYONE),
    ("POST", "/v1/auth/password-reset", ANYONE),
    ("POST", "/v1/auth/password-reset/confirm", ANYONE),
    ("POST", "/v1/auth/email-change/confirm", ANYONE),
    ("GET", "/.well-known/jwks.json", ANYONE),
    ("GET", "/openapi.json", ANYONE),
    ("GET", "/v1/openapi.json", ANYONE),
    ("GET", "/docs", ANYONE),
    ("GET", "/health/upstreams", ANYONE),
    ("GET", "/v1/orders/{id}/events", LOGGED_IN),
    ("GET", "/v1/inventory/{id}/events", ANYONE),
    ("GET", "/v1/categories", ANYONE),
    ("POST", "/v1/categories", MERCHANT),
    ("GET", "/v1/categories/{id}/attributes", MERCHANT),
    ("PUT", "/v1/categories/{id}/attributes", ADMIN),
    ("GET", "/v1/products", ANYONE),
    ("POST", "/v1/products", MERCHANT),
    ("GET", "/v1/products:batch", ANYONE),
    ("POST", "/v1/products:import", MERCHANT),
    ("GET", "/v1/products:export", MERCHANT),
    ("GET", "/v1/imports/{id}", MERCHANT),
    ("GET", "/v1/imports/{id}/errors", MERCHANT),
    ("GET", "/v1/products/{id}", ANYONE),
    ("PUT", "/v1/products/{id}", MERCHANT),
    ("PATCH", "/v1/products/{id}", MERCHANT),
    ("DELETE", "/v1/products/{id}", MERCHANT),
    ("GET", "/v1/products/{id}/reviews", ANYONE),
    ("POST", "/v1/products/{id}/reviews", CUSTOMER),
    ("PUT", "/v1/products/{id}/reviews/{id}", CUSTOMER),
    ("DELETE", "/v1/products/{id}/reviews/{id}", REVIEW_REMOVER),
    ("PUT", "/v1/products/{id}/reviews/{id}/status", SUPPORT),
    ("PUT", "/v1/products/{id}/reviews/{id}/helpful", CUSTOMER),
    ("DELETE", "/v1/products/{id}/reviews/{id}/helpful", CUSTOMER),
    ("GET", "/v1/admin/reviews", SUPPORT),
    ("GET", "/v1/search", ANYONE),
    ("GET", "/v1/search/suggest", ANYONE),
    ("GET", "/v1/admin/search/index", SUPPORT),
    ("POST", "/v1/admin/search/index/rebuild", ADMIN),
    ("GET", "/v1/cart", SHOPPER),
    ("DELETE", "/v1/cart", SHOPPER),
    ("POST", "/v1/cart/items", SHOPPER),
    ("PUT", "/v1/cart/items/{id}", SHOPPER),
    ("DELETE", "/v1/cart/items/{id}", SHOPPER),
    ("POST", "/v1/cart/merge", CUSTOMER),
    ("POST", "/v1/checkout", SHOPPER),
    ("POST", "/v1/orders", CUSTOMER),
    ("GET", "/v1/orders", LOGGED_IN),
    ("GET", "/v1/orders/{id}", LOGGED_IN),
    ("PUT", "/v1/orders/{id}/payment", CUSTOMER),
    ("PUT", "/v1/orders/{id}/cancel", LOGGED_IN),
    ("PUT", "/v1/orders/{id}/ship", WAREHOUSE),
    ("PUT", "/v1/orders/{id}/deliver", WAREHOUSE),
    ("PUT", "/v1/orders/{id}/refund", SUPPORT),
    ("GET", "/v1/admin/sagas", SUPPORT),
    ("POST", "/v1/admin/sagas/{id}/retry", ADMIN),
    ("POST", "/v1/admin/sagas/{id}/cancel", ADMIN),
    ("GET", "/v1/admin/payments/reconciliation", SUPPORT),
    ("POST", "/v1/admin/payments/reconciliation", ADMIN),
    ("GET", "/v1/inventory", ANYONE),
    ("POST", "/v1/inventory", MERCHANT),
    ("POST", "/v1/inventory:batch", MERCHANT),
    ("POST", "/v1/inventory/reserve", MERCHANT),
    ("POST", "/v1/inventory/confirm", MERCHANT),
    ("POST", "/v1/inventory/release", MERCHANT),
    ("POST", "/v1/inventory/deduct", MERCHANT),
    ("GET", "/v1/inventory/reservations/{id}", MERCHANT),
    ("GET", "/v1/inventory/{id}", ANYONE),
    ("PUT", "/v1/inventory/{id}", MERCHANT),
    ("DELETE", "/v1/inventory/{id}", MERCHANT),
    ("POST", "/v1/inventory/{id}/adjustments", MERCHANT),
    ("GET", "/v1/inventory/{id}/drift", STOCK_INSPECTOR),
    ("GET", "/v1/inventory/{id}/history", STOCK_INSPECTOR),
    ("POST", "/v1/holds", CUSTOMER),
    ("GET", "/v1/holds/{id}", CUSTOMER),
    ("DELETE", "/v1/holds/{id}", CUSTOMER),
    ("GET", "/v1/flash-sales", ANYONE),
    ("POST", "/v1/flash-sales", MERCHANT),
    ("GET", "/v1/flash-sales/{id}", ANYONE),
    ("GET", "/v1/flash-sales/{id}/events", ANYONE),
    ("POST", "/v1/flash-sales/{id}/preload", MERCHANT),
    ("POST", "/v1/flash-sales/{id}/start", MERCHANT),
    ("POST", "/v1/flash-sales/{id}/stop", MERCHANT),
    ("POST", "/v1/waitlist", CUSTOMER),
    ("GET", "/v1/waitlist/{id}", CUSTOMER),
    ("DELETE", "/v1/waitlist/{id}", CUSTOMER),
    ("POST", "/v1/payments/webhook", ANYONE),
    ("GET", "/v1/payments/{id}", LOGGED_IN),
    ("GET", "/v1/payments/{id}/client-secret", CUSTOMER),
    ("GET", "/v1/notifications", LOGGED_IN),
    ("GET", "/v1/notifications/preferences", LOGGED_IN),
    ("PUT", "/v1/notifications/preferences", LOGGED_IN),
    ("GET", "/v1/notifications/unsubscribe", ANYONE),
    ("POST", "/v1/notifications/unsubscribe", ANYONE),
    ("GET", "/v1/webhooks/endpoints", MERCHANT),
    ("POST", "/v1/webhooks/endpoints", MERCHANT),
    ("GET", "/v1/webhooks/endpoints/{id}", MERCHANT),
    ("PATCH", "/v1/webhooks/endpoints/{id}", MERCHANT),
    ("DELETE", "/v1/webhooks/endpoints/{id}", MERCHANT),
    ("POST", "/v1/webhooks/endpoints/{id}/rotate", MERCHANT),
    ("POST", "/v1/webhooks/endpoints/{id}/test", MERCHANT),
    ("GET", "/v1/webhooks/endpoints/{id}/deliveries", MERCHANT),
    ("GET", "/v1/webhooks/endpoints/{id}/deliveries/{id}", MERCHANT),
    (
        "POST",
        "/v1/webhooks/endpoints/{id}/deliveries/{id}/redeliver",
        MERCHANT,
    ),
];

/// Answers of the gateway's own endpoints that come after the check of the role.
const OWN: [&str; 3] = ["/v1/users", "/v1/auth", "/events"];

fn shape(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{id}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// A profile is refused as a profile only when it could be one.
fn body_for(path: &str, method: &Method) -> Value {
    if path == "/v1/users/{id}" && method == Method::PUT {
        json!({"email": "new@example.com", "name": "New"})
    } else if path.ends_with("/api-keys") {
        json!({"name": "report", "scope": "read"})
    } else {
        json!({})
    }
}

#[test]
fn the_written_table_names_every_route() {
    let written: BTreeSet<(String, String)> = TABLE
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    let built: BTreeSet<(String, String)> = ferrocart_gateway::public_routes()
        .map(|(method, path)| (method, shape(path)))
        .collect();
    assert_eq!(written, built);
    assert_eq!(written.len(), TABLE.len());
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let world = World::new().await;
    let mut callers = vec![
        ("anonymous", world.api.clone()),
        ("guest", world.api.with_token(access(&world.guest().await))),
    ];
    for role in ["customer", "merchant", "warehouse", "support", "admin"] {
        let (_, token) = world.user(&[role]).await;
        callers.push((role, world.api.with_token(token)));
    }
    let mut wrong = Vec::new();
    for (method, path, allowed) in TABLE {
        let method: Method = method.parse().unwrap();
        let path_of_one = path.replace("{id}", &fresh().to_string());
        for (role, api) in &callers {
            let body = (method != Method::GET).then(|| body_for(path, &method));
            let before = world.upstream.hits();
            let answer = api.send(method.clone(), &path_of_one, body.as_ref(), &[]).await;
            let was_passed_on = world.upstream.hits() > before;
            let code = answer.json["code"].as_str().unwrap_or_default();
            let is_refused = matches!(code, "UNAUTHENTICATED" | "FORBIDDEN") && !was_passed_on;
            let may = allowed.split(' ').any(|name| name == *role);
            let is_own_profile = path.starts_with("/v1/users/{id}") && *path != "/v1/users/{id}/roles";
            // Not even an administrator makes a key for another.
            let is_the_owners_alone = method == Method::POST && path.ends_with("/api-keys");
            let is_right = if is_own_profile && may && (*role != "admin" || is_the_owners_alone) {
                // Admitted by role, then refused because the account is another's.
                code == "FORBIDDEN"
            } else if may {
                let own = OWN.iter().any(|part| path.contains(part));
                !is_refused
                    && (was_passed_on || own || *path == "/v1/cart/merge" || answer.status.is_success())
            } else {
                let status = if *role == "anonymous" { 401 } else { 403 };
                is_refused && answer.status.as_u16() == status
            };
            if !is_right {
                wrong.push(format!("{method} {path} as {role}: {} {code}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_there() {
    let world = World::new().await;
    let admin = world.admin().await;
    let before = world.upstream.hits();
    for path in [
        "/internal/v1/prices",
        "/v1/internal/v1/prices",
        "/v1/unknown",
        "/v1/products/",
        "/v1//products",
        "/v2/products",
        "/",
    ] {
        admin.get(path).await.expect_problem(404, "NOT_FOUND");
        admin.post(path, json!({})).await.expect_problem(404, "NOT_FOUND");
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/products", "GET, POST"),
        ("GET", "/v1/checkout", "POST"),
        ("PATCH", "/v1/cart", "GET, DELETE"),
        ("OPTIONS", "/v1/cart", "GET, DELETE"),
        ("GET", "/v1/auth/token", "POST"),
    ] {
        let method: Method = method.parse().unwrap();
        let answer = admin.send(method, path, None::<&Value>, &[]).await;
        let answer = answer.expect_problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.headers["allow"], allow);
    }
    assert_eq!(world.upstream.hits(), before);
}
