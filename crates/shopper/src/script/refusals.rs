use std::time::Instant;

use serde_json::json;

use super::arrive::People;
use super::browse::{Goods, query};
use super::buy::Purchase;
use super::fulfil::PURCHASE_MAILS;
use super::mails::exactly_once;
use super::trouble::{CANCELLED_MAILS, Trouble};
use super::{Outcome, Script, Told, webhooks};
use crate::api::Answer;
use crate::report::{Failure, Reporter, Step, Unmet};
use crate::screen::format_duration;
use crate::shop::{CARD_GOOD, Session, Shop, checkout_body, unique};
use crate::wait::{Attempt, until};

pub(super) async fn chapter(
    script: &mut Script<'_, impl Reporter>,
    people: &People,
    goods: &Goods,
    purchase: &Purchase<'_>,
    trouble: &Trouble,
) -> Result<(), Failure> {
    let shop = script.shop;
    script
        .step(Step::NoToken, no_token(shop, &people.session))
        .await?;
    script
        .step(
            Step::OthersOrder,
            others_order(shop, people, &trouble.second, purchase),
        )
        .await?;
    script
        .step(Step::WrongRole, wrong_role(shop, &people.session, goods))
        .await?;
    script
        .step(Step::MissingKey, missing_key(shop, people, goods))
        .await?;
    script
        .step(Step::BadBody, bad_body(shop, &people.session, goods))
        .await?;
    script
        .step(Step::WithdrawProduct, withdraw_product(shop, people, goods))
        .await?;
    script
        .step(
            Step::RemoveWebhook,
            webhooks::remove(shop, &people.merchant, &goods.webhook),
        )
        .await?;
    script
        .step(Step::MailsOnce, mails_once(shop, people, purchase, trouble))
        .await
}

async fn no_token(shop: &Shop<'_>, buyer: &Session) -> Outcome<()> {
    shop.api.get("/v1/orders").send().await?.problem(&[401])?;
    shop.api
        .post("/v1/checkout", checkout_body(CARD_GOOD))
        .key(&unique())
        .send()
        .await?
        .problem(&[401])?;
    let forged = with_other_signature(&buyer.token);
    shop.api
        .get("/v1/orders")
        .token(&forged)
        .send()
        .await?
        .problem(&[401])?;
    Ok(Told::new((), "401, 401 and 401"))
}

/// The same claims; the signature differs in its first character and is still one by its form.
fn with_other_signature(token: &str) -> String {
    let (claims, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{claims}.{other}{}", signature.get(1..).unwrap_or_default())
}

async fn others_order(
    shop: &Shop<'_>,
    people: &People,
    other: &Session,
    purchase: &Purchase<'_>,
) -> Outcome<()> {
    let order = format!("/v1/orders/{}", purchase.order.order_id);
    let payment = format!("/v1/payments/{}", purchase.payment_id);
    let profile = format!("/v1/users/{}", people.buyer.user_id);
    let mut statuses = Vec::new();
    for path in [order.clone(), payment, profile] {
        let answer = shop.api.get(path).token(&other.token).send().await?;
        statuses.push(must_tell_nothing(&answer, people)?);
    }
    let cancel = shop
        .api
        .put(format!("{order}/cancel"), json!({}))
        .token(&other.token)
        .send()
        .await?;
    statuses.push(must_tell_nothing(&cancel, people)?);
    let events = refused_stream(shop, other, &format!("{order}/events")).await?;
    statuses.push(must_tell_nothing(&events, people)?);
    Ok(Told::new(
        (),
        format!("order, payment, profile, cancel, events: {}", statuses.join(", ")),
    ))
}

/// The answer in the place of a stream. A stream that opens would never end, so it is not read.
async fn refused_stream(shop: &Shop<'_>, who: &Session, path: &str) -> Result<Answer, Unmet> {
    match shop.api.get(path).token(&who.token).open().await {
        Ok(_) => Err(Unmet::new(format!("a refusal of {path}, not an open stream"))),
        Err(Unmet {
            answer: Some(answer), ..
        }) => Ok(*answer),
        Err(unanswered) => Err(unanswered),
    }
}

fn must_tell_nothing(answer: &Answer, people: &People) -> Result<String, Unmet> {
    answer.problem(&[403, 404])?;
    let told = [people.buyer.email.as_str(), "97201"]
        .iter()
        .any(|secret| answer.body.contains(secret));
    answer.must(!told, "nothing of the other customer in the refusal")?;
    Ok(answer.status.to_string())
}

async fn wrong_role(shop: &Shop<'_>, buyer: &Session, goods: &Goods) -> Outcome<()> {
    let product = json!({
        "handle": format!("not-mine-{}", &unique()[..12]), "title": "Not mine", "description": "Not mine.",
        "brand": "Nobody", "category": goods.product.category, "attributes": {}, "images": [],
        "variants": [{"sku": "NOT-MINE", "options": {}, "price": {"amount_minor": 100, "currency": "USD"}}],
    });
    shop.api
        .post("/v1/products", product)
        .token(&buyer.token)
        .send()
        .await?
        .problem(&[403])?;
    let sku_id = goods.variant.sku_id;
    let adjustment = json!({"delta": 1_000, "reason": "a gift", "channel": "web"});
    let request = shop
        .api
        .post(format!("/v1/inventory/{sku_id}/adjustments"), adjustment)
        .token(&buyer.token);
    request.key(&unique()).send().await?.problem(&[403])?;
    Ok(Told::new((), "list a product: 403; adjust stock: 403"))
}

async fn missing_key(shop: &Shop<'_>, people: &People, goods: &Goods) -> Outcome<()> {
    let request = shop
        .api
        .post("/v1/checkout", checkout_body(CARD_GOOD))
        .token(&people.session.token);
    let checkout = request.send().await?;
    checkout.problem(&[400])?;
    let body =
        json!({"order_id": unknown_order_id(), "items": [{"sku_id": goods.plenty.sku_id, "quantity": 1}]});
    let reserve = shop
        .api
        .post("/v1/inventory/reserve", body)
        .token(&people.merchant.token)
        .send()
        .await?;
    reserve.problem(&[400])?;
    Ok(Told::new((), "checkout: 400; reserve: 400"))
}

/// An id of an order that does not exist.
fn unknown_order_id() -> uuid::Uuid {
    unique().parse().unwrap_or_default()
}

async fn bad_body(shop: &Shop<'_>, buyer: &Session, goods: &Goods) -> Outcome<()> {
    let sku_id = goods.plenty.sku_id;
    let unknown = json!({"sku_id": sku_id, "quantity": 1, "gift_wrap": true});
    let add = |body| shop.api.post("/v1/cart/items", body).token(&buyer.token).send();
    let refused = add(unknown).await?;
    must_name(&refused, "gift_wrap")?;
    let none = add(json!({"sku_id": sku_id, "quantity": 0})).await?;
    must_name(&none, "quantity")?;
    let mut body = checkout_body(CARD_GOOD);
    body["total"] = json!({"amount_minor": 1, "currency": "USD"});
    let priced = shop.checkout(buyer, &unique(), body).await?;
    must_name(&priced, "total")?;
    let detail = format!(
        "gift_wrap: {}; quantity 0: {}; a total of one's own: {}",
        refused.status, none.status, priced.status
    );
    Ok(Told::new((), detail))
}

fn must_name(answer: &Answer, field: &str) -> Result<(), Unmet> {
    let problem = answer.problem(&[400, 422])?;
    let named = problem.detail.contains(field)
        || problem
            .errors
            .iter()
            .any(|error| error.field.contains(field) || error.reason.contains(field));
    answer.must(named, format!("the field {field} to be named"))
}

/// So that the demo leaves nothing on the shelves.
async fn withdraw_product(shop: &Shop<'_>, people: &People, goods: &Goods) -> Outcome<()> {
    let path = format!("/v1/products/{}", goods.own.product_id);
    let answer = shop
        .api
        .delete(path)
        .token(&people.merchant.token)
        .send()
        .await?
        .expect(&[200, 204])?;
    let withdrawn = Instant::now();
    until(
        shop.limit(),
        "the product to be gone from the search",
        async || {
            let (answer, found) = query(shop, &[("q", goods.own_word.as_str())]).await?;
            let there = found
                .items
                .iter()
                .any(|item| item.product_id == goods.own.product_id);
            Ok(if there {
                Attempt::not_yet(answer)
            } else {
                Attempt::Done(())
            })
        },
    )
    .await?;
    let detail = format!(
        "{}, gone from the search after {}",
        answer.status,
        format_duration(withdrawn.elapsed())
    );
    Ok(Told::new((), detail))
}

/// At the end, when everything that could have sent one twice has had its time.
async fn mails_once(
    shop: &Shop<'_>,
    people: &People,
    purchase: &Purchase<'_>,
    trouble: &Trouble,
) -> Outcome<()> {
    let email = people.buyer.email.as_str();
    let bought = exactly_once(shop, email, purchase.order.order_id, &PURCHASE_MAILS).await?;
    let cancelled = exactly_once(shop, email, trouble.cancelled_order, &CANCELLED_MAILS).await?;
    Ok(Told::new(
        (),
        format!("{} and {}, none twice", bought.len(), cancelled.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_differs_in_its_signature_alone() {
        assert_eq!(with_other_signature("head.claims.sig"), "head.claims.Aig");
        assert_eq!(with_other_signature("head.claims.Aig"), "head.claims.Big");
    }
}
