use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_types::{IdGen as _, SystemIds};
use serde_json::{Value, json};
use uuid::Uuid;

/// A guest with a filled cart.
#[derive(Clone)]
pub(super) struct Guest {
    token: String,
}

/// Limits are for an address, so buyers have one each: 127.0.1.1 and on.
pub(crate) fn buyer(number: usize) -> Result<reqwest::Client> {
    let number = u8::try_from(number % 250).context("an address")?;
    reqwest::Client::builder()
        .no_proxy()
        .local_address(IpAddr::from(Ipv4Addr::new(127, 0, 1, number + 1)))
        .timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(64)
        // Below what the gateway keeps a silent connection for.
        .pool_idle_timeout(Duration::from_secs(2))
        .build()
        .context("a buyer's client")
}

pub(crate) async fn post(
    client: &reqwest::Client,
    gateway: &str,
    token: &str,
    path: &str,
    body: &Value,
) -> Result<Value> {
    let mut request = client
        .post(format!("{gateway}{path}"))
        .header("idempotency-key", SystemIds.next().to_string())
        .json(body);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.with_context(|| format!("POST {path}"))?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "POST {path}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("POST {path}"))
}

pub(super) async fn guest(buyer: &reqwest::Client, gateway: &str, sku: &str) -> Result<Guest> {
    let session = post(buyer, gateway, "", "/v1/auth/guest", &json!({})).await?;
    let token = session["access_token"]
        .as_str()
        .context("a guest's token")?
        .to_owned();
    let item = json!({ "sku_id": sku, "quantity": 1 });
    post(buyer, gateway, &token, "/v1/cart/items", &item).await?;
    Ok(Guest { token })
}

/// The status, and the order if it is CONFIRMED.
pub(super) async fn check_out(
    buyer: &reqwest::Client,
    gateway: &str,
    guest: &Guest,
) -> Result<(u16, Option<Uuid>)> {
    let body = json!({
        "payment_method": "pm_card_visa", "email": "guest@example.com",
        "shipping_address": { "name": "Ada Lovelace", "line1": "1 Main St", "city": "Springfield",
                              "postal_code": "12345", "country": "US" },
    });
    let answer = buyer
        .post(format!("{gateway}/v1/checkout"))
        .bearer_auth(&guest.token)
        .header("idempotency-key", SystemIds.next().to_string())
        .json(&body)
        .send()
        .await
        .context("check out")?;
    let status = answer.status().as_u16();
    let order: Value = answer.json().await.context("the answer to a checkout")?;
    if status != 201 {
        return Ok((status, None));
    }
    ensure!(
        order["status"] == "CONFIRMED",
        "a 201 that is not CONFIRMED: {order}"
    );
    let id = order["order_id"].as_str().unwrap_or_default().parse();
    Ok((status, Some(id.context("an order's id")?)))
}
