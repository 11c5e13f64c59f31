use std::pin::pin;

use futures::future::{Either, select};
use serde_json::json;
use uuid::Uuid;

use super::arrive::People;
use super::browse::{Goods, QUANTITY};
use super::{Outcome, Script, Told};
use crate::api::Answer;
use crate::dto::{Cart, CartStatus, Order, OrderEvent, OrderStatus};
use crate::report::{Failure, Reporter, Step, Unmet};
use crate::shop::{CARD_GOOD, Session, Shop, checkout_body, unique};
use crate::sse::Stream;
use crate::wait::{Attempt, until};

pub(super) struct Purchase<'a> {
    pub(super) order: Order,
    pub(super) payment_id: Uuid,
    pub(super) events: OrderEvents<'a>,
}

/// The event stream of one order, checked while it is read.
pub(super) struct OrderEvents<'a> {
    stream: Stream<'a>,
    order_id: Uuid,
    last: Option<(u64, OrderStatus)>,
}

impl<'a> OrderEvents<'a> {
    async fn open(shop: &Shop<'a>, who: &'a Session, order_id: Uuid) -> Result<Self, Unmet> {
        let stream = Stream::open(shop.api, format!("/v1/orders/{order_id}/events"), &who.token).await?;
        Ok(Self {
            stream,
            order_id,
            last: None,
        })
    }

    /// The statuses up to and with this one.
    pub(super) async fn until(
        &mut self,
        shop: &Shop<'_>,
        wanted: OrderStatus,
    ) -> Result<Vec<OrderStatus>, Unmet> {
        let mut seen = Vec::new();
        loop {
            let event = self.stream.next(shop.limit(), &format!("{wanted}")).await?;
            if event.name != "order" {
                continue;
            }
            let parsed: OrderEvent = serde_json::from_str(&event.data).map_err(|error| {
                Unmet::new(format!(
                    "an order event as documented, not {} ({error})",
                    event.data
                ))
            })?;
            let said = |expectation: String| Unmet::new(format!("{expectation}, not {}", event.data));
            if parsed.order_id != self.order_id {
                return Err(said(format!("an event of order {}", self.order_id)));
            }
            if event
                .id
                .as_ref()
                .is_some_and(|id| *id != parsed.sequence.to_string())
            {
                return Err(said(format!(
                    "the sequence as the event's id, which is {:?}",
                    event.id
                )));
            }
            let now = (parsed.sequence, parsed.status);
            if self.last.is_some_and(|last| now.0 < last.0 || now.1 < last.1) {
                return Err(said(format!("nothing older than {:?}", self.last)));
            }
            // A snapshot may say again what the stream said before.
            if self.last != Some(now) {
                seen.push(parsed.status);
            }
            self.last = Some(now);
            if parsed.status == wanted {
                return Ok(seen);
            }
            if parsed.status > wanted {
                return Err(said(format!("{wanted} to come first")));
            }
        }
    }
}

pub(super) async fn chapter<'a>(
    script: &mut Script<'a, impl Reporter>,
    people: &'a People,
    goods: &Goods,
) -> Result<Purchase<'a>, Failure> {
    let shop = script.shop;
    let who = &people.session;
    script
        .step(Step::GuestCart, guest_cart(shop, people, goods))
        .await?;
    let cart = script
        .step(Step::MergeCart, merge_cart(shop, people, goods))
        .await?;
    let body = checkout_body(CARD_GOOD);
    let key = unique();
    let (first, early) = script
        .step(Step::Checkout, checkout(shop, who, &key, &body))
        .await?;
    script.report.purchase_trace_id = first.trace_id().map(str::to_owned);
    let (order_id, events) = script
        .step(Step::WatchOrder, watch(shop, who, &first, early))
        .await?;
    script.report.purchase_order_id = Some(order_id);
    script
        .step(Step::Replay, replay(shop, who, &key, &body, &first))
        .await?;
    script.step(Step::KeyReused, key_reused(shop, who, &key)).await?;
    let (order, payment_id) = script
        .step(Step::ReadOrder, read_order(shop, people, order_id, &cart))
        .await?;
    script.step(Step::CartEmptied, cart_emptied(shop, who)).await?;
    Ok(Purchase {
        order,
        payment_id,
        events,
    })
}

async fn guest_cart(shop: &Shop<'_>, people: &People, goods: &Goods) -> Outcome<()> {
    let sku_id = goods.variant.sku_id;
    let mut cart = None;
    for _ in 0..QUANTITY {
        cart = Some(shop.add(&people.guest, sku_id, 1).await?);
    }
    let answer = shop
        .api
        .get("/v1/cart")
        .token(&people.guest.token)
        .send()
        .await?
        .expect(&[200])?;
    let read: Cart = answer.read()?;
    must_hold(&answer, &read, goods)?;
    answer.must(
        cart.is_some_and(|cart| cart.cart_id == read.cart_id),
        "the cart that was added to",
    )?;
    answer.must(read.cart_id.starts_with("guest:"), "a cart_id guest:<session>")?;
    Ok(Told::new(
        (),
        format!(
            "200, {QUANTITY} × {}, subtotal {}",
            goods.variant.sku, read.subtotal
        ),
    ))
}

async fn merge_cart(shop: &Shop<'_>, people: &People, goods: &Goods) -> Outcome<Cart> {
    let body = json!({"guest_token": people.guest.token});
    let answer = shop
        .api
        .post("/v1/cart/merge", body)
        .token(&people.session.token)
        .send()
        .await?
        .expect(&[200])?;
    let cart: Cart = answer.read()?;
    must_hold(&answer, &cart, goods)?;
    let own = format!("user:{}", people.buyer.user_id);
    answer.must(cart.cart_id == own, format!("the cart_id {own}"))?;
    let detail = format!(
        "200, the account's cart holds {QUANTITY} × {}, subtotal {}",
        goods.variant.sku, cart.subtotal
    );
    Ok(Told::new(cart, detail))
}

fn must_hold(answer: &Answer, cart: &Cart, goods: &Goods) -> Result<(), Unmet> {
    let [line] = cart.items.as_slice() else {
        return Err(answer.unmet("one line"));
    };
    let price = &goods.variant.price;
    answer.must(
        (line.sku_id, line.quantity) == (goods.variant.sku_id, QUANTITY),
        format!("{QUANTITY} of the SKU"),
    )?;
    answer.must(line.unit_price == *price, format!("a unit price of {price}"))?;
    answer.must(
        line.line_total == price.times(QUANTITY),
        format!("a line total of {}", price.times(QUANTITY)),
    )?;
    answer.must(
        cart.subtotal == line.line_total,
        "the subtotal to be the sum of the lines",
    )?;
    answer.must(cart.status == CartStatus::Active, "the status ACTIVE")
}

type Started<'a> = (Answer, Option<OrderEvents<'a>>);

/// Checks out, and looks over the shoulder: while the answer is under way the order's stream is opened.
async fn checkout<'a>(
    shop: &Shop<'a>,
    who: &'a Session,
    key: &str,
    body: &serde_json::Value,
) -> Outcome<Started<'a>> {
    let request = pin!(shop.checkout(who, key, body.clone()));
    let watcher = pin!(first_order(shop, who));
    let (answer, early) = match select(request, watcher).await {
        Either::Left((answer, _)) => (answer?, None),
        Either::Right((events, request)) => (request.await?, Some(events?)),
    };
    let answer = answer.expect(&[201, 202])?;
    let trace_id = answer
        .trace_id()
        .ok_or_else(|| answer.unmet("a traceparent header with a trace id"))?
        .to_owned();
    let order: crate::dto::OrderRef = answer.read()?;
    if answer.status == 201 {
        answer.must(
            order.status == OrderStatus::Confirmed,
            "a 201 with the status CONFIRMED",
        )?;
    }
    let detail = format!("{}, order {} {}", answer.status, order.order_id, order.status);
    Ok(Told::new((answer, early), detail).note(format!("trace {trace_id}")))
}

/// The stream of the buyer's first order, as soon as there is one.
async fn first_order<'a>(shop: &Shop<'a>, who: &'a Session) -> Result<OrderEvents<'a>, Unmet> {
    let order_id = until(shop.limit(), "an order in the list", async || {
        let (answer, orders) = shop.orders(who).await?;
        Ok(orders
            .first()
            .map_or_else(|| Attempt::not_yet(answer), |order| Attempt::Done(order.order_id)))
    })
    .await?;
    OrderEvents::open(shop, who, order_id).await
}

async fn watch<'a>(
    shop: &Shop<'a>,
    who: &'a Session,
    first: &Answer,
    early: Option<OrderEvents<'a>>,
) -> Outcome<(Uuid, OrderEvents<'a>)> {
    let order: crate::dto::OrderRef = first.read()?;
    let opened = if early.is_some() {
        "opened while the checkout ran"
    } else {
        "opened after the checkout"
    };
    let mut events = match early {
        Some(events) => events,
        None => OrderEvents::open(shop, who, order.order_id).await?,
    };
    first.must(
        events.order_id == order.order_id,
        "the order that the list showed meanwhile",
    )?;
    let seen = events.until(shop, OrderStatus::Confirmed).await?;
    let seen: Vec<String> = seen.iter().map(OrderStatus::to_string).collect();
    Ok(Told::new(
        (order.order_id, events),
        format!("{}, {opened}", seen.join(" → ")),
    ))
}

async fn replay(
    shop: &Shop<'_>,
    who: &Session,
    key: &str,
    body: &serde_json::Value,
    first: &Answer,
) -> Outcome<()> {
    // After a 202 the saga may hold the key for a moment longer.
    let again = until(shop.limit(), "the stored answer", async || {
        let answer = shop.checkout(who, key, body.clone()).await?;
        let running = answer.status == 409 && first.status == 202;
        Ok(if running {
            Attempt::not_yet(answer)
        } else {
            Attempt::Done(answer)
        })
    })
    .await?;
    let (before, after): (crate::dto::OrderRef, crate::dto::OrderRef) =
        (first.read()?, again.clone().expect(&[201, first.status])?.read()?);
    again.must(
        before.order_id == after.order_id,
        format!("the order {} again", before.order_id),
    )?;
    again.must(
        again.header("idempotent-replayed") == Some("true"),
        "Idempotent-Replayed: true",
    )?;
    if first.status == 201 {
        again.must(
            first.json()? == again.json()?,
            format!("the same body as the first time: {}", first.body),
        )?;
    }
    let (_, orders) = shop.orders(who).await?;
    again.must(orders.len() == 1, "one order in the list, not two")?;
    Ok(Told::new(
        (),
        format!(
            "{}, the same answer, Idempotent-Replayed: true, still one order",
            again.status
        ),
    ))
}

async fn key_reused(shop: &Shop<'_>, who: &Session, key: &str) -> Outcome<()> {
    let mut other = checkout_body(CARD_GOOD);
    other["shipping_address"]["city"] = json!("Salem");
    let answer = shop.checkout(who, key, other).await?;
    let problem = answer.problem_code(422, "IDEMPOTENCY_KEY_REUSED")?;
    Ok(Told::new((), format!("422 {}: {}", problem.code, problem.detail)))
}

async fn read_order(shop: &Shop<'_>, people: &People, order_id: Uuid, cart: &Cart) -> Outcome<(Order, Uuid)> {
    let answer = shop.order(&people.session, order_id).await?.expect(&[200])?;
    let order: Order = answer.read()?;
    answer.must(order.status == OrderStatus::Confirmed, "the status CONFIRMED")?;
    answer.must(
        order
            .email
            .as_ref()
            .is_none_or(|email| *email == people.buyer.email),
        "the buyer's e-mail",
    )?;
    answer.must(
        order.total == cart.subtotal,
        format!("a total of {}", cart.subtotal),
    )?;
    answer.must(
        order.items.len() == 1
            && order.items[0].quantity == QUANTITY
            && order.items[0].sku_id == cart.items[0].sku_id,
        "the line of the cart",
    )?;
    let history: Vec<OrderStatus> = order.history.iter().map(|entry| entry.status).collect();
    answer.must(
        history
            == [
                OrderStatus::Placed,
                OrderStatus::PaymentPending,
                OrderStatus::Confirmed,
            ],
        "a history PLACED, PAYMENT_PENDING, CONFIRMED",
    )?;
    let payment = order.payment.as_ref().ok_or_else(|| answer.unmet("a payment"))?;
    answer.must(payment.status == "AUTHORIZED", "the payment AUTHORIZED")?;
    let payment_id = payment.payment_id;
    let (_, stock) = shop.stock(order.items[0].sku_id).await?;
    let detail = format!("200, CONFIRMED, total {}, payment AUTHORIZED", order.total);
    let note = format!(
        "stock: {} on hand, {} reserved, {} available",
        stock.on_hand, stock.reserved, stock.available
    );
    Ok(Told::new((order, payment_id), detail).note(note))
}

async fn cart_emptied(shop: &Shop<'_>, who: &Session) -> Outcome<()> {
    shop.cart_when(who, "an empty cart after CONFIRMED", |cart| cart.items.is_empty())
        .await?;
    Ok(Told::new((), "200, no items"))
}
