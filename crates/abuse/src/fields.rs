use anyhow::Result;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{With, World, address, fresh, product};

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    mass_assignment(world, report).await?;
    quantities(world, report).await?;
    prices(world, report).await?;
    injections(world, report).await
}

/// `body` with one member more.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// Bodies that are right but for one member, which is not the client's to set.
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
async fn mass_assignment(world: &World, report: &mut Report) -> Result<()> {
    let customer = &world.attacker.token;
    let own = format!("/v1/users/{}", world.attacker.id);
    let register =
        || json!({ "email": format!("{}@planted.example", fresh()), "password": fresh(), "name": "Mallory" });
    let line = || json!({ "sku_id": world.sku, "quantity": 1 });
    let checkout = || json!({ "payment_method": "pm_card_visa", "shipping_address": address() });
    let free = || json!({ "amount_minor": 1, "currency": "USD" });
    let cases: Vec<(&str, &str, &str, Value)> = vec![
        (
            "POST",
            "/v1/users",
            customer,
            with(register(), "roles", json!(["admin"])),
        ),
        (
            "POST",
            "/v1/users",
            customer,
            with(register(), "user_id", json!(world.victim.id)),
        ),
        (
            "PATCH",
            &own,
            customer,
            with(json!({ "name": "M" }), "roles", json!(["admin"])),
        ),
        (
            "PATCH",
            &own,
            customer,
            with(json!({ "name": "M" }), "version", json!(7)),
        ),
        (
            "PATCH",
            &own,
            customer,
            with(json!({ "name": "M" }), "password_hash", json!("x")),
        ),
        (
            "POST",
            "/v1/cart/items",
            customer,
            with(line(), "unit_price", free()),
        ),
        ("POST", "/v1/cart/items", customer, with(line(), "price", free())),
        (
            "POST",
            "/v1/checkout",
            customer,
            with(checkout(), "total", free()),
        ),
        (
            "POST",
            "/v1/checkout",
            customer,
            with(checkout(), "items", json!([line()])),
        ),
        (
            "POST",
            "/v1/checkout",
            customer,
            with(checkout(), "customer_id", json!(world.victim.id)),
        ),
        (
            "POST",
            "/v1/checkout",
            customer,
            with(checkout(), "status", json!("CONFIRMED")),
        ),
        (
            "POST",
            "/v1/holds",
            customer,
            with(line(), "hold_seconds", json!(86_400 * 365)),
        ),
        (
            "POST",
            "/v1/holds",
            customer,
            with(line(), "user_id", json!(world.victim.id)),
        ),
        (
            "POST",
            "/v1/products",
            &world.merchant,
            with(product(&fresh()), "rating", json!({ "average": 5 })),
        ),
        (
            "POST",
            "/v1/products",
            &world.merchant,
            with(product(&fresh()), "seller_id", json!(world.victim.id)),
        ),
        (
            "POST",
            "/v1/inventory",
            &world.merchant,
            with(json!({ "sku_id": world.sku, "on_hand": 5 }), "reserved", json!(0)),
        ),
    ];
    for (method, path, token, body) in cases {
        let answer = world.json((method, path), token, &body).await?;
        report.check(
            &format!("{method} {path} with {body}"),
            answer.status == 400,
            answer.said(),
        );
    }
    Ok(())
}

async fn quantities(world: &World, report: &mut Report) -> Result<()> {
    let bad = [
        "-1",
        "0",
        "1000000000000",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "1e400",
        "1.5",
        "1e3",
        "\"1\"",
        "null",
        "true",
        "[1]",
        "{}",
        "NaN",
        "0x10",
    ];
    for number in bad {
        let line = format!(r#"{{"sku_id":"{}","quantity":{number}}}"#, world.sku);
        let reserve = format!(r#"{{"order_id":"{}","items":[{line}]}}"#, fresh());
        let stock = format!(r#"{{"delta":{number},"reason":"x","channel":"web"}}"#);
        let adjust = format!("/v1/inventory/{}/adjustments", world.sku);
        for (path, token, body) in [
            ("/v1/cart/items", &world.attacker.token, &line),
            ("/v1/holds", &world.attacker.token, &line),
            ("/v1/inventory/reserve", &world.merchant, &reserve),
            (&adjust, &world.merchant, &stock),
        ] {
            // A merchant may take one unit off the shelf.
            if path.ends_with("adjustments") && number == "-1" {
                continue;
            }
            let with = With {
                token: Some(token),
                body: Some(body.as_bytes()),
                ..With::default()
            };
            let answer = world.send(("POST", path), with).await?;
            report.check(
                &format!("POST {path} with {body}"),
                answer.is_refusal(),
                answer.said(),
            );
        }
    }
    Ok(())
}

async fn prices(world: &World, report: &mut Report) -> Result<()> {
    for price in [
        json!({ "amount_minor": -1, "currency": "USD" }),
        json!({ "amount_minor": 1.5, "currency": "USD" }),
        json!({ "amount_minor": "100", "currency": "USD" }),
        json!({ "amount_minor": 9_223_372_036_854_775_808_u64, "currency": "USD" }),
        json!({ "amount_minor": 100, "currency": "usd" }),
        json!({ "amount_minor": 100, "currency": "" }),
        json!({ "amount_minor": 100 }),
        json!(100),
        Value::Null,
    ] {
        let mut body = product(&fresh());
        body["variants"][0]["price"] = price.clone();
        let answer = world
            .json(("POST", "/v1/products"), &world.merchant, &body)
            .await?;
        report.check(
            &format!("a product for {price}"),
            answer.is_refusal(),
            answer.said(),
        );
    }
    Ok(())
}

const NASTY: [&str; 12] = [
    "' OR '1'='1",
    "'; DROP TABLE products; --",
    "1) UNION SELECT password_hash FROM users --",
    "%00",
    "..%2f..%2f..%2fetc%2fpasswd",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "\\u0000",
    "$(id)",
    "<script>alert(1)</script>",
    "\u{202e}\u{1f4a9}",
    "*:* AND title:[* TO *]",
];

async fn injections(world: &World, report: &mut Report) -> Result<()> {
    for nasty in NASTY {
        let coded = coded(nasty);
        let mut paths = Vec::new();
        for place in [
            "/v1/products/",
            "/v1/inventory/",
            "/v1/orders/",
            "/v1/payments/",
            "/v1/users/",
            "/v1/holds/",
        ] {
            paths.push(format!("{place}{coded}"));
        }
        for query in [
            "products?category=",
            "products?cursor=",
            "search?q=",
            "search?sort=",
            "search/suggest?q=",
            "orders?status=",
            "orders?cursor=",
            "inventory?sku_ids=",
            "products:batch?ids=",
            "search?facets=",
        ] {
            paths.push(format!("/v1/{query}{coded}"));
        }
        for path in paths {
            let answer = world.get(&path, &world.victim.token).await?;
            let held = answer.status < 500 && !leaks(&answer.text);
            report.check(&format!("GET {path}"), held, answer.said());
        }
        let login = json!({ "email": nasty, "password": nasty });
        let answer = world
            .json(
                ("POST", "/v1/cart/items"),
                &world.attacker.token,
                &json!({ "sku_id": nasty, "quantity": 1 }),
            )
            .await?;
        report.check(
            &format!("a SKU called {nasty}"),
            answer.status == 400,
            answer.said(),
        );
        let answer = log_in(world, &login).await?;
        report.check(
            &format!("a login as {nasty}"),
            matches!(answer.status, 400 | 401) && !leaks(&answer.text),
            answer.said(),
        );
    }
    odd_logins(world, report).await
}

/// Operators where a text belongs, as document databases take them; two members of one name; a prototype.
async fn odd_logins(world: &World, report: &mut Report) -> Result<()> {
    for body in [
        r#"{"email":{"$gt":""},"password":{"$gt":""}}"#,
        r#"{"email":["a@b.example"],"password":"x"}"#,
        r#"{"email":"a@b.example","email":"c@d.example","password":"12345678"}"#,
        r#"{"email":"a@b.example","password":"12345678","__proto__":{"roles":["admin"]}}"#,
        r#"{"email":"a@b.example","password":"12345678\u0000"}x"#,
    ] {
        let with = With {
            body: Some(body.as_bytes()),
            ..With::default()
        };
        let http = crate::world::client([9, 3])?;
        let answer = crate::world::call(&http, &world.gateway, ("POST", "/v1/auth/token"), with).await?;
        report.check(
            &format!("a login with {body}"),
            answer.status == 400,
            answer.said(),
        );
    }
    Ok(())
}

/// Every byte percent-encoded.
fn coded(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |coded, byte| format!("{coded}%{byte:02x}"))
}

async fn log_in(world: &World, body: &Value) -> Result<crate::world::Answer> {
    let body = body.to_string();
    let with = With {
        body: Some(body.as_bytes()),
        ..With::default()
    };
    let http = crate::world::client([9, 2])?;
    crate::world::call(&http, &world.gateway, ("POST", "/v1/auth/token"), with).await
}

/// What only a program that was led astray would say.
fn leaks(text: &str) -> bool {
    [
        "syntax error",
        "sqlx",
        "SQLSTATE",
        "panicked",
        "root:x:",
        "password_hash\":",
        "stack backtrace",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}
