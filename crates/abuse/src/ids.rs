use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{NAME, STREET, With, World, fresh};

/// Ids that belong to the shop, and whose pages everybody may read.
const PUBLIC: [&str; 2] = ["product_id", "sku_id"];

/// Every call of the public document that names something by its id, with the ids of what is another's, by a customer,
/// a guest and nobody: refused, telling nothing, changing nothing.
pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let document = world.send(("GET", "/openapi.json"), With::default()).await?.json;
    let before = seen_by_owner(world).await?;
    let guest = guest(world).await?;
    let mut calls = 0_usize;
    for (path, item) in document["paths"].as_object().context("paths")? {
        if !path.contains('{') {
            continue;
        }
        for verb in ["get", "put", "post", "patch", "delete"] {
            let operation = &item[verb];
            if operation.is_null() || is_open(operation, verb, path) {
                continue;
            }
            calls += 1;
            let path = filled(world, path);
            let verb = verb.to_uppercase();
            let body = body_for(&path);
            for (who, token) in [
                ("another customer", Some(&world.attacker.token)),
                ("a guest", Some(&guest)),
                ("nobody", None),
            ] {
                let with = With {
                    token: token.map(String::as_str),
                    body: (verb != "GET").then_some(body.as_bytes()),
                    headers: &[
                        ("x-user-id", "me"),
                        ("x-roles", "admin"),
                        ("x-forwarded-user", "admin"),
                    ],
                };
                let answer = world.send((&verb, &path), with).await?;
                let tells = answer.text.contains(&world.victim.email)
                    || answer.text.contains(STREET)
                    || answer.text.contains(NAME);
                let refused = matches!(answer.status, 400 | 401 | 403 | 404 | 405 | 415) && !tells;
                report.check(&format!("{verb} {path} by {who}"), refused, answer.said());
            }
        }
    }
    anyhow::ensure!(calls >= 20, "the public document has only {calls} calls with ids");
    let after = seen_by_owner(world).await?;
    report.check(
        "what is the victim's is as it was",
        before == after,
        format!("{before:?} became {after:?}"),
    );
    lists(world, report).await
}

/// Lists must not be steered to another's things.
async fn lists(world: &World, report: &mut Report) -> Result<()> {
    let order = world.thing("order_id").unwrap_or_default();
    for path in [
        format!("/v1/orders?customer_id={}", world.victim.id),
        "/v1/orders".to_owned(),
        format!("/v1/notifications?user_id={}", world.victim.id),
    ] {
        let answer = world.get(&path, &world.attacker.token).await?;
        let tells = answer.text.contains(order) || answer.text.contains(&world.victim.email);
        report.check(
            &format!("GET {path} by another customer"),
            !tells && answer.status < 500,
            answer.said(),
        );
    }
    // The victim's cart by its name, and the victim's guest token from somebody else.
    let body = json!({ "cart_id": world.victim.id, "payment_method": "pm_card_visa", "shipping_address": crate::world::address() });
    let answer = world
        .json(("POST", "/v1/checkout"), &world.attacker.token, &body)
        .await?;
    report.check("a checkout of another's cart", answer.is_refusal(), answer.said());
    let body = json!({ "guest_token": world.victim.token });
    let answer = world
        .json(("POST", "/v1/cart/merge"), &world.attacker.token, &body)
        .await?;
    report.check(
        "a merge of another customer's cart",
        answer.is_refusal(),
        answer.said(),
    );
    Ok(())
}

/// Reading what is for everybody.
fn is_open(operation: &Value, verb: &str, path: &str) -> bool {
    let open = operation["security"]
        .as_array()
        .is_some_and(|ways| ways.is_empty() || ways.contains(&json!({})));
    let public = PUBLIC.iter().any(|name| path.contains(name)) || path.contains("sale_id");
    open && verb == "get" && public
}

fn filled(world: &World, path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.map_or_else(
            || part.to_owned(),
            |name| world.thing(name).map_or_else(fresh, ToOwned::to_owned),
        )
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Bodies that would do harm if they were let in.
fn body_for(path: &str) -> String {
    let body = if path.ends_with("/roles") {
        json!({ "roles": ["admin"] })
    } else if path.starts_with("/v1/users/") && path.ends_with("/api-keys") {
        json!({ "name": "mine", "scope": "write" })
    } else if path.starts_with("/v1/users/") {
        json!({ "name": "Mallory" })
    } else if path.ends_with("/payment") {
        json!({ "payment_method": "pm_card_visa" })
    } else if path.ends_with("/adjustments") {
        json!({ "delta": -1, "reason": "stolen", "channel": "web" })
    } else if path.contains("/inventory/") {
        json!({ "on_hand": 0 })
    } else if path.contains("/reviews") {
        json!({ "rating": 1, "title": "Bad" })
    } else if path.starts_with("/v1/cart/items/") {
        json!({ "quantity": -5 })
    } else {
        json!({})
    };
    body.to_string()
}

async fn guest(world: &World) -> Result<String> {
    let with = With {
        body: Some(b"{}"),
        ..With::default()
    };
    let answer = world.send(("POST", "/v1/auth/guest"), with).await?;
    Ok(answer.json["access_token"]
        .as_str()
        .context("a guest's token")?
        .to_owned())
}

/// The status and the parts of them that only their owner changes.
async fn seen_by_owner(world: &World) -> Result<Vec<String>> {
    let thing = |name| world.thing(name).unwrap_or_default().to_owned();
    let mut seen = Vec::new();
    for (path, member) in [
        (format!("/v1/users/{}", world.victim.id), "version"),
        (format!("/v1/orders/{}", thing("order_id")), "status"),
        (format!("/v1/holds/{}", thing("hold_id")), "status"),
        ("/v1/cart".to_owned(), "items"),
        (format!("/v1/users/{}/api-keys", world.victim.id), "items"),
        (format!("/v1/inventory/{}", world.sku), "on_hand"),
    ] {
        let answer = world.get(&path, &world.victim.token).await?;
        anyhow::ensure!(answer.status == 200, "{path} by its owner: {}", answer.said());
        let member = if answer.json[member].is_array() {
            answer.json[member].as_array().map_or(0, Vec::len).to_string()
        } else {
            answer.json[member].to_string()
        };
        seen.push(format!("{path}: {member}"));
    }
    Ok(seen)
}
