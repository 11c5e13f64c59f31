use serde_json::json;
use uuid::Uuid;

use super::arrive::People;
use super::browse::Goods;
use super::mails::exactly_once;
use super::provider::pay_there;
use super::{Outcome, Script, Told};
use crate::dto::{CartStatus, Hold, Items, Order, OrderStatus, Product, Stock, Variant};
use crate::mail::MailKind;
use crate::report::{Failure, Reporter, Step, Unmet};
use crate::shop::{
    CARD_DECLINED, CARD_GOOD, Checkout, Customer, Session, Shop, checkout_body, guest_checkout_body,
    must_lack_stock, unique,
};

/// A product of the sample catalog that is always sold out.
const SOLD_OUT_HANDLE: &str = "cast-iron-skillet-emberline-first-edition";
const SOLD_OUT_LIST: &str = "/v1/products?category=cookware&brand=Emberline%20Foundry";

pub(super) const CANCELLED_MAILS: [MailKind; 2] = [MailKind::Confirmed, MailKind::Cancelled];

pub(super) struct Trouble {
    pub(super) second: Session,
    pub(super) cancelled_order: Uuid,
}

pub(super) async fn chapter(
    script: &mut Script<'_, impl Reporter>,
    people: &People,
    goods: &Goods,
) -> Result<Trouble, Failure> {
    let shop = script.shop;
    let second = script.step(Step::SecondBuyer, second_buyer(shop)).await?;
    script
        .step(Step::DeclinedCard, declined(shop, &second, &goods.plenty))
        .await?;
    script.step(Step::SoldOut, sold_out(shop)).await?;
    script
        .step(
            Step::LastUnitRace,
            race(shop, &people.session, &second, &goods.last_unit),
        )
        .await?;
    let cancelled_order = script
        .step(Step::CancelOrder, cancel(shop, people, &goods.plenty))
        .await?;
    script
        .step(Step::GuestCheckout, guest_checkout(shop, &goods.plenty))
        .await?;
    script
        .step(Step::OrderHold, order_hold(shop, &second, &goods.plenty))
        .await?;
    script
        .step(
            Step::PayAtProvider,
            pay_there(shop, &second, &people.session, &goods.plenty),
        )
        .await?;
    script
        .step(
            Step::CancelMails,
            cancel_mails(shop, &people.buyer, cancelled_order),
        )
        .await?;
    Ok(Trouble {
        second,
        cancelled_order,
    })
}

async fn second_buyer(shop: &Shop<'_>) -> Outcome<Session> {
    let (customer, _) = shop.register("Grace").await?;
    let session = shop.log_in(&customer.email, &customer.password).await?;
    Ok(Told::new(session, format!("201 and 200, {}", customer.email)))
}

async fn declined(shop: &Shop<'_>, who: &Session, variant: &Variant) -> Outcome<()> {
    let (_, before) = shop.stock(variant.sku_id).await?;
    shop.add(who, variant.sku_id, 3).await?;
    let answer = shop
        .checkout(who, &unique(), checkout_body(CARD_DECLINED))
        .await?;
    let problem = answer.problem_code(402, "PAYMENT_DECLINED")?;
    let back = |stock: &Stock| stock.reserved == before.reserved && stock.available == before.available;
    let after = shop
        .stock_when(variant.sku_id, "the reserved units given back", back)
        .await?;
    let (list, orders) = shop.orders(who).await?;
    let [order] = orders.as_slice() else {
        return Err(list.unmet("one order in the list, the declined one"));
    };
    let cancelled = |order: &Order| order.status == OrderStatus::Cancelled;
    let order = shop
        .order_when(who, order.order_id, "the order CANCELLED", cancelled)
        .await?;
    shop.cart_restored(who, variant.sku_id).await?;
    let reason = order
        .cancel_reason
        .unwrap_or_else(|| "no reason given".to_owned());
    let detail = format!("402 {}, order CANCELLED ({reason})", problem.code);
    let stock = format!(
        "reserved {} before and {} after; the cart is ACTIVE again",
        before.reserved, after.reserved
    );
    Ok(Told::new((), detail)
        .note(stock)
        .note(format!("trace {}", problem.trace_id)))
}

/// Refused when it is added or when it is checked out, but refused, and by name.
async fn sold_out(shop: &Shop<'_>) -> Outcome<()> {
    let list = shop.api.get(SOLD_OUT_LIST).send().await?.expect(&[200])?;
    let products: Items<Product> = list.read()?;
    let product = products
        .items
        .into_iter()
        .find(|product| product.handle == SOLD_OUT_HANDLE);
    let product = product.ok_or_else(|| list.unmet(format!("{SOLD_OUT_HANDLE} of the sample catalog")))?;
    let variant = product.variants.first().ok_or_else(|| list.unmet("a variant"))?;
    let guest = shop.guest().await?;
    let mut answer = shop.try_add(&guest, variant.sku_id, 1).await?;
    let mut refused_at = "when it is added";
    if answer.status < 300 {
        let email = format!("hedy.{}@example.com", &unique()[..12]);
        answer = shop
            .checkout(&guest, &unique(), guest_checkout_body(CARD_GOOD, &email))
            .await?;
        refused_at = "at the checkout";
    }
    must_lack_stock(&answer, variant)?;
    let (stock_answer, stock) = shop.stock(variant.sku_id).await?;
    stock_answer.must(
        stock.on_hand == 0 && stock.reserved == 0,
        "nothing on hand and nothing reserved",
    )?;
    Ok(Told::new(
        (),
        format!("409 INSUFFICIENT_STOCK {refused_at}, naming {}", variant.sku),
    ))
}

async fn race(shop: &Shop<'_>, first: &Session, second: &Session, last: &Variant) -> Outcome<()> {
    shop.add(first, last.sku_id, 1).await?;
    shop.add(second, last.sku_id, 1).await?;
    let (one, other) = futures::future::join(
        shop.check_out(first, checkout_body(CARD_GOOD)),
        shop.check_out(second, checkout_body(CARD_GOOD)),
    )
    .await;
    let (winner, order, loser, refusal) = match (one?, other?) {
        (Checkout::Confirmed(order), Checkout::Refused(refusal)) => ("the first", order, second, refusal),
        (Checkout::Refused(refusal), Checkout::Confirmed(order)) => ("the second", order, first, refusal),
        (Checkout::Confirmed(a), Checkout::Confirmed(b)) => {
            return Err(Unmet::new(format!(
                "one winner: both {} and {} got the last unit",
                a.order_id, b.order_id
            )));
        }
        (Checkout::Refused(a), Checkout::Refused(b)) => {
            return Err(a.unmet(format!(
                "one winner: both were refused, the other with\n{b}\nand this one with"
            )));
        }
    };
    if order.status != OrderStatus::Confirmed {
        return Err(Unmet::new(format!(
            "the winner's order {} CONFIRMED",
            order.order_id
        )));
    }
    if refusal.status != 202 {
        must_lack_stock(&refusal, last)?;
    }
    let gone = |stock: &Stock| (stock.on_hand, stock.reserved, stock.available) == (1, 1, 0);
    shop.stock_when(last.sku_id, "1 on hand, 1 reserved, 0 available", gone)
        .await?;
    shop.cart_restored(loser, last.sku_id).await?;
    let detail = format!("{winner} buyer got it, the other 409 INSUFFICIENT_STOCK");
    Ok(Told::new((), detail).note(format!(
        "order {}; 1 on hand, 1 reserved, 0 available",
        order.order_id
    )))
}

async fn cancel(shop: &Shop<'_>, people: &People, variant: &Variant) -> Outcome<Uuid> {
    let who = &people.session;
    shop.cart_when(who, "an empty cart to begin with", |cart| {
        cart.items.is_empty() && cart.status == CartStatus::Active
    })
    .await?;
    let (_, before) = shop.stock(variant.sku_id).await?;
    shop.add(who, variant.sku_id, 2).await?;
    let order = shop.buy(who, checkout_body(CARD_GOOD)).await?;
    let held = |stock: &Stock| stock.reserved == before.reserved + 2;
    shop.stock_when(variant.sku_id, "2 units more reserved", held)
        .await?;
    let path = |action: &str| format!("/v1/orders/{}/{action}", order.order_id);
    let answer = shop
        .api
        .put(path("cancel"), json!({}))
        .token(&who.token)
        .send()
        .await?
        .expect(&[200, 202])?;
    let cancelled = |order: &Order| {
        let voided = order
            .payment
            .as_ref()
            .is_some_and(|payment| payment.status == "VOIDED");
        order.status == OrderStatus::Cancelled && voided
    };
    shop.order_when(
        who,
        order.order_id,
        "the order CANCELLED and its payment VOIDED",
        cancelled,
    )
    .await?;
    let back = |stock: &Stock| *stock == before;
    shop.stock_when(variant.sku_id, "the stock as it was before", back)
        .await?;
    let late = shop
        .api
        .put(path("ship"), json!({}))
        .token(&people.warehouse.token)
        .send()
        .await?;
    late.problem_code(409, "INVALID_TRANSITION")?;
    let detail = format!("{}, CANCELLED, payment VOIDED, 2 units back", answer.status);
    Ok(Told::new(order.order_id, detail).note(format!(
        "order {}; shipping it now is 409 INVALID_TRANSITION",
        order.order_id
    )))
}

async fn guest_checkout(shop: &Shop<'_>, variant: &Variant) -> Outcome<()> {
    let guest = shop.guest().await?;
    let email = format!("hedy.{}@example.com", &unique()[..12]);
    shop.add(&guest, variant.sku_id, 1).await?;
    let refused = shop.checkout(&guest, &unique(), checkout_body(CARD_GOOD)).await?;
    refused.problem(&[400, 422])?;
    refused.must(refused.body.contains("email"), "the missing email to be named")?;
    let order = shop.buy(&guest, guest_checkout_body(CARD_GOOD, &email)).await?;
    if order.email.as_ref().is_some_and(|named| *named != email) {
        return Err(Unmet::new(format!("the order's e-mail {email}")));
    }
    exactly_once(shop, &email, order.order_id, &[MailKind::Confirmed]).await?;
    let detail = format!(
        "201, CONFIRMED, {}; without an e-mail {}",
        order.total, refused.status
    );
    Ok(Told::new((), detail).note(format!(
        "order {}; its confirmation went to {email}",
        order.order_id
    )))
}

/// A hold becomes one order, and its units are the order's.
async fn order_hold(shop: &Shop<'_>, who: &Session, variant: &Variant) -> Outcome<()> {
    let (_, before) = shop.stock(variant.sku_id).await?;
    let body = json!({"sku_id": variant.sku_id, "quantity": 1});
    let request = shop.api.post("/v1/holds", body).token(&who.token).key(&unique());
    let held = request.send().await?.expect(&[201])?;
    let hold: Hold = held.read()?;
    held.must(
        hold.status == "RESERVED" && hold.quantity == 1,
        "one unit RESERVED",
    )?;
    shop.stock_when(variant.sku_id, "1 unit more reserved", |stock| {
        stock.reserved == before.reserved + 1
    })
    .await?;
    let mut body = checkout_body(CARD_GOOD);
    body["hold_id"] = json!(hold.hold_id);
    let redeem = async |key: &str| {
        let request = shop.api.post("/v1/orders", body.clone());
        request.token(&who.token).key(key).send().await
    };
    let answer = redeem(&unique()).await?.expect(&[201, 202])?;
    let order: Order = answer.read()?;
    let confirmed = |order: &Order| order.status == OrderStatus::Confirmed;
    let order = shop
        .order_when(who, order.order_id, "the order CONFIRMED", confirmed)
        .await?;
    redeem(&unique())
        .await?
        .problem_code(409, "HOLD_ALREADY_REDEEMED")?;
    shop.stock_when(variant.sku_id, "that unit reserved and no other", |stock| {
        stock.reserved == before.reserved + 1
    })
    .await?;
    Ok(Told::new((), format!("201, CONFIRMED, {}; once", order.total))
        .note(format!("hold {}, order {}", hold.hold_id, order.order_id)))
}

async fn cancel_mails(shop: &Shop<'_>, buyer: &Customer, order_id: Uuid) -> Outcome<()> {
    let mails = exactly_once(shop, &buyer.email, order_id, &CANCELLED_MAILS).await?;
    let told = Told::new((), format!("{}, one of each", mails.len()));
    Ok(mails
        .iter()
        .fold(told, |told, mail| told.note(mail.subject.as_str())))
}
