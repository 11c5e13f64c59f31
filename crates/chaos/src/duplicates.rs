//! One checkout, sent many times at once.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use ferrocart_stack::{Component, Service};
use futures::future::join_all;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::buyer::{Buyer, GOOD};
use crate::client::Request;
use crate::platform::Platform;
use crate::settle::{self, FINAL_WITHIN};

pub(crate) const COUNT: usize = 100;

/// One order, one authorization, and answers that agree to the byte.
pub(crate) async fn check(platform: &Platform, chance: &mut ChaCha8Rng) -> Result<Vec<String>> {
    let buyer = Buyer::guest(&platform.client).await?;
    buyer.fill_cart(platform.a_sku(chance)).await?;
    let request = buyer.checkout(GOOD);
    let answers = join_all((0..COUNT).map(|_| platform.client.ask(&request))).await;
    let mut violations = Vec::new();
    let mut bodies = BTreeSet::new();
    for answer in answers {
        match answer {
            Ok(answer) if answer.status == 201 => {
                bodies.insert(answer.text);
            }
            Ok(answer) => violations.push(format!("answered {}: {}", answer.status, answer.text)),
            Err(error) => violations.push(format!("{error:#}")),
        }
    }
    if bodies.len() != 1 {
        violations.push(format!("{} different answers", bodies.len()));
    }
    if let Err(left) = settle::until_final(platform, FINAL_WITHIN).await? {
        violations.push(format!("not final within {FINAL_WITHIN:?}: {left}"));
    }
    let orders = platform
        .client
        .succeed(&Request::get("/v1/orders".to_owned(), &buyer.token))
        .await?;
    let orders = orders.json["items"]
        .as_array()
        .context("a list without items")?
        .clone();
    let [order] = orders.as_slice() else {
        violations.push(format!("{} orders", orders.len()));
        return Ok(violations);
    };
    let order_id = order["order_id"].as_str().unwrap_or_default();
    let intents = intents_of(platform, order_id).await?;
    if intents != 1 {
        violations.push(format!("{intents} payment intents of the order {order_id}"));
    }
    for finding in settle::findings(platform).await? {
        violations.push(finding.violation.to_string());
    }
    Ok(violations)
}

async fn intents_of(platform: &Platform, order_id: &str) -> Result<usize> {
    let env = platform.stack.env_for(Service::Payment)?;
    let key = env.get("PSP_API_KEY").context("PSP_API_KEY")?;
    let url = format!("{}/sandbox/ledger", platform.stack.url(Component::PspSandbox));
    let ledger = platform
        .client
        .http()
        .get(url)
        .bearer_auth(key)
        .send()
        .await?
        .text()
        .await?;
    let is_of_order = |line: &&str| {
        serde_json::from_str::<Value>(line).is_ok_and(|entry| {
            entry["object"] == "payment_intent" && entry["metadata"]["order_id"] == order_id
        })
    };
    Ok(ledger.lines().filter(is_of_order).count())
}
