use serde_json::json;

use super::arrive::People;
use super::browse::Goods;
use super::buy::Purchase;
use super::mails::exactly_once;
use super::{Outcome, Script, Told, webhooks};
use crate::dto::{Order, OrderStatus, Payment};
use crate::mail::MailKind;
use crate::report::{Failure, Reporter, Step};
use crate::shop::Shop;
use crate::wait::{Attempt, until};

pub(super) const PURCHASE_MAILS: [MailKind; 3] =
    [MailKind::Confirmed, MailKind::Shipped, MailKind::Delivered];

pub(super) async fn chapter(
    script: &mut Script<'_, impl Reporter>,
    people: &People,
    goods: &Goods,
    purchase: &mut Purchase<'_>,
) -> Result<(), Failure> {
    let shop = script.shop;
    script.step(Step::Ship, ship(shop, people, purchase)).await?;
    script
        .step(Step::Deliver, deliver(shop, people, purchase))
        .await?;
    script.step(Step::Review, review(shop, people, goods)).await?;
    script
        .step(Step::PurchaseMails, mails(shop, people, purchase))
        .await?;
    script
        .step(
            Step::PurchaseWebhooks,
            webhooks::told(shop, people, goods, purchase),
        )
        .await
}

async fn ship(shop: &Shop<'_>, people: &People, purchase: &mut Purchase<'_>) -> Outcome<()> {
    let path = format!("/v1/orders/{}/ship", purchase.order.order_id);
    let body = json!({"tracking_number": "FC-20417-PDX", "carrier": "Northbound Parcel"});
    shop.api
        .put(path.as_str(), body.clone())
        .token(&people.session.token)
        .send()
        .await?
        .problem(&[403])?;
    let answer = shop
        .api
        .put(path, body)
        .token(&people.warehouse.token)
        .send()
        .await?
        .expect(&[200, 202])?;
    let order: Order = answer.read()?;
    answer.must(order.status == OrderStatus::Shipped, "the status SHIPPED")?;
    let captured = |order: &Order| {
        order
            .payment
            .as_ref()
            .is_some_and(|payment| payment.status == "CAPTURED")
    };
    let order = shop
        .order_when(&people.session, order.order_id, "the payment CAPTURED", captured)
        .await?;
    let path = format!("/v1/payments/{}", purchase.payment_id);
    let answer = shop
        .api
        .get(path)
        .token(&people.session.token)
        .send()
        .await?
        .expect(&[200])?;
    let payment: Payment = answer.read()?;
    answer.must(
        payment.payment_id == purchase.payment_id && payment.status == "CAPTURED",
        "the payment CAPTURED",
    )?;
    let total = order.total.amount_minor;
    answer.must(
        payment.captured_minor().is_none_or(|captured| captured == total),
        format!("{total} captured, once"),
    )?;
    let seen = purchase.events.until(shop, OrderStatus::Shipped).await?;
    let detail = format!("200, SHIPPED, {} CAPTURED; a customer may not: 403", order.total);
    Ok(Told::new((), detail).note(format!("SSE: {}", joined(&seen))))
}

async fn deliver(shop: &Shop<'_>, people: &People, purchase: &mut Purchase<'_>) -> Outcome<()> {
    let path = format!("/v1/orders/{}/deliver", purchase.order.order_id);
    let answer = shop
        .api
        .put(path, json!({}))
        .token(&people.warehouse.token)
        .send()
        .await?
        .expect(&[200])?;
    let order: Order = answer.read()?;
    answer.must(order.status == OrderStatus::Delivered, "the status DELIVERED")?;
    let seen = purchase.events.until(shop, OrderStatus::Delivered).await?;
    Ok(Told::new((), "200, DELIVERED").note(format!("SSE: {}", joined(&seen))))
}

fn joined(statuses: &[OrderStatus]) -> String {
    statuses
        .iter()
        .map(OrderStatus::to_string)
        .collect::<Vec<_>>()
        .join(" → ")
}

/// The catalog learns of the delivery from an event, so the first tries may be refused.
async fn review(shop: &Shop<'_>, people: &People, goods: &Goods) -> Outcome<()> {
    let path = format!("/v1/products/{}/reviews", goods.product.product_id);
    let title = format!("Bought for {}", people.buyer.user_id);
    let body =
        json!({"rating": 5, "title": title, "body": "Arrived quickly and is just as it was described."});
    let mut tries = 0;
    until(
        shop.limit(),
        "the review to be taken after the delivery",
        async || {
            tries += 1;
            let answer = shop
                .api
                .post(path.as_str(), body.clone())
                .token(&people.session.token)
                .send()
                .await?;
            if answer.status == 403 {
                answer.problem_code(403, "REVIEW_NOT_ALLOWED")?;
                return Ok(Attempt::not_yet(answer));
            }
            Ok(Attempt::Done(answer.expect(&[201])?))
        },
    )
    .await?;
    shop.api
        .post(path.as_str(), body)
        .token(&people.session.token)
        .send()
        .await?
        .problem(&[409])?;
    until(shop.limit(), "the review in the product's list", async || {
        let answer = shop.api.get(path.as_str()).send().await?.expect(&[200])?;
        Ok(if answer.body.contains(&title) {
            Attempt::Done(())
        } else {
            Attempt::not_yet(answer)
        })
    })
    .await?;
    Ok(Told::new(
        (),
        format!(
            "201 at try {tries}, 5 of 5 for {}; a second one is 409",
            goods.product.title
        ),
    ))
}

async fn mails(shop: &Shop<'_>, people: &People, purchase: &Purchase<'_>) -> Outcome<()> {
    let mails = exactly_once(
        shop,
        &people.buyer.email,
        purchase.order.order_id,
        &PURCHASE_MAILS,
    )
    .await?;
    let answer = shop
        .api
        .get("/v1/notifications")
        .token(&people.session.token)
        .send()
        .await?
        .expect(&[200])?;
    let list: crate::dto::Items<serde_json::Value> = answer.read()?;
    answer.must(
        list.items.len() >= PURCHASE_MAILS.len(),
        "the notifications that were sent",
    )?;
    let told = Told::new(
        (),
        format!("{} in {}, one of each", mails.len(), shop.mails.path()),
    );
    Ok(mails
        .iter()
        .fold(told, |told, mail| told.note(mail.subject.as_str())))
}
