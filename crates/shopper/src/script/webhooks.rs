//! A merchant's own server, which is told what becomes of the merchant's products.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use uuid::Uuid;

use super::arrive::People;
use super::browse::{Goods, QUANTITY};
use super::buy::Purchase;
use super::{Outcome, Told};
use crate::dto::{Delivery, Endpoint, Items, Message};
use crate::receiver::Posted;
use crate::report::Unmet;
use crate::screen::format_duration;
use crate::shop::{Session, Shop};
use crate::wait::{Attempt, until};

const ENDPOINTS: &str = "/v1/webhooks/endpoints";
const DESCRIPTION: &str = "the shopper's demo";
const OF_A_PURCHASE: [&str; 3] = ["order.confirmed", "order.delivered", "order.shipped"];
const TEST: &str = "webhook.test";
/// Of a network that nobody may send the shop into.
const PRIVATE_URL: &str = "https://10.0.0.1/webhooks";

/// An endpoint, and what its messages are signed with.
pub(super) struct Webhook {
    endpoint_id: Uuid,
    secret: String,
}

impl Webhook {
    fn path(&self) -> String {
        format!("{ENDPOINTS}/{}", self.endpoint_id)
    }

    /// What came so far, each message once, all of it with a signature that holds.
    fn received(&self, shop: &Shop<'_>) -> Result<BTreeMap<String, (Posted, Message)>, Unmet> {
        let mut received = BTreeMap::new();
        for posted in shop.webhooks.posted() {
            posted
                .verify(&self.secret)
                .map_err(|wrong| Unmet::new(format!("a signed webhook, but {wrong}: {}", posted.body)))?;
            let message = serde_json::from_str(&posted.body).map_err(|error| {
                Unmet::new(format!("a webhook as documented ({error}), not {}", posted.body))
            })?;
            received.insert(posted.id.clone(), (posted, message));
        }
        Ok(received)
    }
}

/// Makes an endpoint and tries it out.
pub(super) async fn add(shop: &Shop<'_>, merchant: &Session) -> Outcome<Webhook> {
    remove_leftovers(shop, merchant).await?;
    let new = async |url: &str| {
        let body = json!({"url": url, "description": DESCRIPTION, "event_types": OF_A_PURCHASE});
        shop.api.post(ENDPOINTS, body).token(&merchant.token).send().await
    };
    new(PRIVATE_URL).await?.problem_code(400, "VALIDATION_ERROR")?;
    let answer = new(shop.webhooks.url()).await?.expect(&[201])?;
    let endpoint: Endpoint = answer.read()?;
    answer.must(endpoint.status == "ENABLED", "the status ENABLED")?;
    let webhook = Webhook {
        endpoint_id: endpoint.endpoint_id,
        secret: endpoint.secret.ok_or_else(|| answer.unmet("the secret"))?,
    };
    let list = shop.api.get(ENDPOINTS).token(&merchant.token).send().await?;
    let list = list.expect(&[200])?;
    list.must(
        list.body.contains(&webhook.endpoint_id.to_string()) && !list.body.contains(&webhook.secret),
        "the endpoint in the list, without its secret",
    )?;
    let asked = Instant::now();
    let test = shop.api.post(format!("{}/test", webhook.path()), json!({}));
    test.token(&merchant.token).send().await?.expect(&[202])?;
    let expectation = format!("a {TEST} at {}", shop.webhooks.url());
    let mut posted = until(shop.limit(), &expectation, async || {
        let mut received = webhook.received(shop)?.into_values();
        Ok(match received.find(|(_, message)| message.event_type == TEST) {
            Some((posted, _)) => Attempt::Done(posted),
            None => Attempt::NotYet(None),
        })
    })
    .await?;
    let took = format_duration(asked.elapsed());
    posted.body.push(' ');
    if posted.verify(&webhook.secret).is_ok() {
        return Err(Unmet::new("no signature to hold for another body"));
    }
    let detail = format!("201, its test came after {took}, signed; a private address is 400");
    let note = format!("{}, told of {}", shop.webhooks.url(), OF_A_PURCHASE.join(", "));
    Ok(Told::new(webhook, detail).note(note))
}

/// Of runs that broke off: nobody answers there any more.
async fn remove_leftovers(shop: &Shop<'_>, merchant: &Session) -> Result<(), Unmet> {
    let answer = shop.api.get(ENDPOINTS).token(&merchant.token).send().await?;
    let endpoints: Items<Endpoint> = answer.expect(&[200])?.read()?;
    for endpoint in endpoints.items {
        if endpoint.description == DESCRIPTION && endpoint.failing_since.is_some() {
            let path = format!("{ENDPOINTS}/{}", endpoint.endpoint_id);
            let answer = shop.api.delete(path).token(&merchant.token).send().await?;
            answer.expect(&[204, 404])?;
        }
    }
    Ok(())
}

/// Each step of the purchase is told, once, in any order, and with nothing of who the buyer is.
pub(super) async fn told(
    shop: &Shop<'_>,
    people: &People,
    goods: &Goods,
    purchase: &Purchase<'_>,
) -> Outcome<()> {
    let order_id = purchase.order.order_id.to_string();
    let expectation = format!("{OF_A_PURCHASE:?} of order {order_id} at {}", shop.webhooks.url());
    let messages = until(shop.limit(), &expectation, async || {
        let mut messages: Vec<(Posted, Message)> = goods.webhook.received(shop)?.into_values().collect();
        messages.retain(|(_, message)| message.data["order_id"] == order_id.as_str());
        messages.sort_by(|(_, one), (_, other)| one.event_type.cmp(&other.event_type));
        Ok(if messages.len() < OF_A_PURCHASE.len() {
            Attempt::NotYet(None)
        } else {
            Attempt::Done(messages)
        })
    })
    .await?;
    let types = messages.iter().map(|(_, message)| message.event_type.as_str());
    if !types.clone().eq(OF_A_PURCHASE) {
        let types: Vec<&str> = types.collect();
        return Err(Unmet::new(format!(
            "one each of {OF_A_PURCHASE:?}, not {types:?}"
        )));
    }
    for (posted, message) in &messages {
        let items = message.data["items"].as_array().map(Vec::as_slice);
        let line = match items {
            Some([line]) => (line["sku_id"].as_str(), line["quantity"].as_u64()),
            _ => (None, None),
        };
        let sku_id = goods.variant.sku_id.to_string();
        if line != (Some(sku_id.as_str()), Some(QUANTITY.into())) {
            return Err(Unmet::new(format!("{QUANTITY} of {sku_id}, not {}", posted.body)));
        }
        let buyer = [people.buyer.email.clone(), people.buyer.user_id.to_string()];
        if buyer.iter().any(|secret| posted.body.contains(secret)) {
            return Err(Unmet::new(format!("nothing of the buyer, not {}", posted.body)));
        }
    }
    delivered(shop, &people.merchant, &goods.webhook, &messages).await?;
    let detail = format!("{}: signed, DELIVERED", OF_A_PURCHASE.join(", "));
    let note = format!("webhook-id {}", messages[0].0.id);
    Ok(Told::new((), detail).note(note))
}

/// The delivery log has them as well; a try is written down after its answer.
async fn delivered(
    shop: &Shop<'_>,
    merchant: &Session,
    webhook: &Webhook,
    messages: &[(Posted, Message)],
) -> Result<(), Unmet> {
    let path = format!("{}/deliveries?limit=100", webhook.path());
    until(shop.limit(), "the deliveries DELIVERED in the log", async || {
        let request = shop.api.get(path.as_str()).token(&merchant.token);
        let answer = request.send().await?.expect(&[200])?;
        let log: Items<Delivery> = answer.read()?;
        let logged = |id: &str| {
            let mut log = log.items.iter();
            log.any(|delivery| delivery.message_id.to_string() == id && delivery.status == "DELIVERED")
        };
        Ok(if messages.iter().all(|(posted, _)| logged(&posted.id)) {
            Attempt::Done(())
        } else {
            Attempt::not_yet(answer)
        })
    })
    .await
}

pub(super) async fn remove(shop: &Shop<'_>, merchant: &Session, webhook: &Webhook) -> Outcome<()> {
    let path = webhook.path();
    let answer = shop.api.delete(path.as_str()).token(&merchant.token);
    answer.send().await?.expect(&[204])?;
    let gone = shop.api.get(path).token(&merchant.token).send().await?;
    gone.problem(&[404])?;
    Ok(Told::new((), "204, and 404 afterwards"))
}
