//! What a client does again and again, with the expectations that hold every time.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Options;
use crate::api::{Answer, Api};
use crate::dto::{Cart, CartStatus, Items, Order, OrderRef, OrderStatus, Stock, Tokens, User, Variant};
use crate::mail::MailDir;
use crate::receiver::Receiver;
use crate::report::Unmet;
use crate::wait::{Attempt, until};

/// Names as the provider publishes them.
pub(crate) const CARD_GOOD: &str = "pm_card_visa";
pub(crate) const CARD_DECLINED: &str = "pm_card_chargeDeclined";

pub(crate) struct Shop<'a> {
    pub(crate) api: &'a Api,
    pub(crate) options: &'a Options,
    pub(crate) mails: MailDir,
    /// The merchant's own server.
    pub(crate) webhooks: &'a Receiver,
}

pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    pub(crate) expires_in: u64,
}

pub(crate) struct Customer {
    pub(crate) user_id: Uuid,
    pub(crate) email: String,
    pub(crate) password: String,
}

/// What came of a checkout that has ended.
pub(crate) enum Checkout {
    Confirmed(Box<Order>),
    Refused(Box<Answer>),
}

#[expect(
    clippy::disallowed_methods,
    reason = "an outside client has no IdGen of the project to take"
)]
pub(crate) fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}

impl Shop<'_> {
    pub(crate) fn limit(&self) -> Duration {
        self.options.step_timeout
    }

    pub(crate) async fn register(&self, name: &str) -> Result<(Customer, User), Unmet> {
        let id = unique();
        let email = format!("{}.{}@example.com", name.to_lowercase(), &id[..12]);
        let password = format!("Walnut-{id}");
        let body = json!({"email": email, "password": password, "name": name});
        let answer = self.api.post("/v1/users", body).send().await?.expect(&[201])?;
        let user: User = answer.read()?;
        answer.must(user.email == email, format!("the e-mail {email}"))?;
        answer.must(
            user.roles.iter().any(|role| role == "customer"),
            "the role customer",
        )?;
        Ok((
            Customer {
                user_id: user.user_id,
                email,
                password,
            },
            user,
        ))
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Result<Session, Unmet> {
        let body = json!({"email": email, "password": password});
        session(
            &self
                .api
                .post("/v1/auth/token", body)
                .send()
                .await?
                .expect(&[200])?,
        )
    }

    pub(crate) async fn guest(&self) -> Result<Session, Unmet> {
        session(
            &self
                .api
                .post("/v1/auth/guest", json!({}))
                .send()
                .await?
                .expect(&[200, 201])?,
        )
    }

    pub(crate) async fn add(&self, who: &Session, sku_id: Uuid, quantity: u32) -> Result<Cart, Unmet> {
        self.try_add(who, sku_id, quantity)
            .await?
            .expect(&[200, 201])?
            .read()
    }

    pub(crate) async fn try_add(&self, who: &Session, sku_id: Uuid, quantity: u32) -> Result<Answer, Unmet> {
        let body = json!({"sku_id": sku_id, "quantity": quantity});
        self.api
            .post("/v1/cart/items", body)
            .token(&who.token)
            .send()
            .await
    }

    /// The cart once it holds what it must.
    pub(crate) async fn cart_when(
        &self,
        who: &Session,
        expectation: &str,
        met: impl Fn(&Cart) -> bool,
    ) -> Result<Cart, Unmet> {
        until(self.limit(), expectation, async || {
            let answer = self
                .api
                .get("/v1/cart")
                .token(&who.token)
                .send()
                .await?
                .expect(&[200])?;
            let cart: Cart = answer.read()?;
            Ok(if met(&cart) {
                Attempt::Done(cart)
            } else {
                Attempt::not_yet(answer)
            })
        })
        .await
    }

    /// An undone checkout gives the cart back; then it is emptied for what comes next.
    pub(crate) async fn cart_restored(&self, who: &Session, sku_id: Uuid) -> Result<(), Unmet> {
        let back = |cart: &Cart| {
            cart.status == CartStatus::Active && cart.items.iter().any(|line| line.sku_id == sku_id)
        };
        self.cart_when(who, "the cart to be given back, ACTIVE", back)
            .await?;
        self.empty_cart(who).await
    }

    pub(crate) async fn empty_cart(&self, who: &Session) -> Result<(), Unmet> {
        self.api
            .delete("/v1/cart")
            .token(&who.token)
            .send()
            .await?
            .expect(&[200, 204])?;
        Ok(())
    }

    pub(crate) async fn checkout(&self, who: &Session, key: &str, body: Value) -> Result<Answer, Unmet> {
        self.api
            .post("/v1/checkout", body)
            .token(&who.token)
            .key(key)
            .send()
            .await
    }

    /// Checks out and waits for the end, also where the answer is 202.
    pub(crate) async fn check_out(&self, who: &Session, body: Value) -> Result<Checkout, Unmet> {
        let answer = self.checkout(who, &unique(), body).await?;
        match answer.status {
            201 => Ok(Checkout::Confirmed(Box::new(answer.read()?))),
            202 => {
                let order = self.settled(who, &answer).await?;
                match order.status {
                    OrderStatus::Cancelled => Ok(Checkout::Refused(Box::new(answer))),
                    _ => Ok(Checkout::Confirmed(Box::new(order))),
                }
            }
            _ => Ok(Checkout::Refused(Box::new(answer))),
        }
    }

    /// As [`Self::check_out`], where nothing stands in the way of the order.
    pub(crate) async fn buy(&self, who: &Session, body: Value) -> Result<Order, Unmet> {
        match self.check_out(who, body).await? {
            Checkout::Confirmed(order) if order.status == OrderStatus::Confirmed => Ok(*order),
            Checkout::Confirmed(order) => {
                Err(Unmet::new(format!("order {} to be CONFIRMED", order.order_id)))
            }
            Checkout::Refused(answer) => Err(answer.unmet("the checkout to end CONFIRMED")),
        }
    }

    /// The order of an unfinished checkout, once it is CONFIRMED or CANCELLED.
    pub(crate) async fn settled(&self, who: &Session, answer: &Answer) -> Result<Order, Unmet> {
        let order: OrderRef = answer.read()?;
        answer.must(
            matches!(order.status, OrderStatus::Placed | OrderStatus::PaymentPending),
            "a 202 only for an order that is PLACED or PAYMENT_PENDING",
        )?;
        answer.must(answer.header("location").is_some(), "a Location with the 202")?;
        self.order_when(who, order.order_id, "the checkout to end", |order| {
            matches!(order.status, OrderStatus::Confirmed | OrderStatus::Cancelled)
        })
        .await
    }

    pub(crate) async fn order_when(
        &self,
        who: &Session,
        order_id: Uuid,
        expectation: &str,
        met: impl Fn(&Order) -> bool,
    ) -> Result<Order, Unmet> {
        until(self.limit(), expectation, async || {
            let answer = self.order(who, order_id).await?.expect(&[200])?;
            let order: Order = answer.read()?;
            answer.must(order.order_id == order_id, "the order that was asked for")?;
            Ok(if met(&order) {
                Attempt::Done(order)
            } else {
                Attempt::not_yet(answer)
            })
        })
        .await
    }

    pub(crate) async fn order(&self, who: &Session, order_id: Uuid) -> Result<Answer, Unmet> {
        self.api
            .get(format!("/v1/orders/{order_id}"))
            .token(&who.token)
            .send()
            .await
    }

    /// The caller's orders, in the order that the list has them.
    pub(crate) async fn orders(&self, who: &Session) -> Result<(Answer, Vec<OrderRef>), Unmet> {
        let answer = self
            .api
            .get("/v1/orders")
            .token(&who.token)
            .send()
            .await?
            .expect(&[200])?;
        let orders: Items<OrderRef> = answer.read()?;
        Ok((answer, orders.items))
    }

    /// Stock may be read by anyone, so no token goes along.
    pub(crate) async fn stock(&self, sku_id: Uuid) -> Result<(Answer, Stock), Unmet> {
        let answer = self
            .api
            .get(format!("/v1/inventory?sku_ids={sku_id}"))
            .send()
            .await?
            .expect(&[200])?;
        let stock: Items<Stock> = answer.read()?;
        let found = stock.items.into_iter().find(|stock| stock.sku_id == sku_id);
        let found = found.ok_or_else(|| answer.unmet(format!("the stock of {sku_id}")))?;
        answer.must(
            0 <= found.reserved
                && found.reserved <= found.on_hand
                && found.available == found.on_hand - found.reserved,
            "0 <= reserved <= on_hand and available = on_hand - reserved",
        )?;
        Ok((answer, found))
    }

    pub(crate) async fn stock_when(
        &self,
        sku_id: Uuid,
        expectation: &str,
        met: impl Fn(&Stock) -> bool,
    ) -> Result<Stock, Unmet> {
        until(self.limit(), expectation, async || {
            let (answer, stock) = self.stock(sku_id).await?;
            Ok(if met(&stock) {
                Attempt::Done(stock)
            } else {
                Attempt::not_yet(answer)
            })
        })
        .await
    }
}

fn session(answer: &Answer) -> Result<Session, Unmet> {
    let tokens: Tokens = answer.read()?;
    answer.must(
        tokens.token_type.eq_ignore_ascii_case("bearer"),
        "token_type Bearer",
    )?;
    answer.must(tokens.expires_in > 0, "expires_in above 0")?;
    let Tokens {
        access_token: token,
        refresh_token,
        expires_in,
        ..
    } = tokens;
    Ok(Session {
        token,
        refresh_token,
        expires_in,
    })
}

/// The body of a checkout by somebody with an account.
pub(crate) fn checkout_body(payment_method: &str) -> Value {
    json!({
        "payment_method": payment_method,
        "shipping_address": {
            "name": "Ada Marsh",
            "line1": "12 Harbor Street",
            "city": "Portland",
            "postal_code": "97201",
            "country": "US",
        },
    })
}

/// A guest says where the e-mails are to go.
pub(crate) fn guest_checkout_body(payment_method: &str, email: &str) -> Value {
    let mut body = checkout_body(payment_method);
    body["email"] = json!(email);
    body
}

/// 409 INSUFFICIENT_STOCK, with the SKU by its id or its name.
pub(crate) fn must_lack_stock(answer: &Answer, variant: &Variant) -> Result<(), Unmet> {
    let problem = answer.problem_code(409, "INSUFFICIENT_STOCK")?;
    let id = variant.sku_id.to_string();
    let named = |text: &str| text.contains(&id) || text.contains(&variant.sku);
    let in_errors = problem
        .errors
        .iter()
        .any(|error| named(&error.reason) || named(&error.field));
    answer.must(
        in_errors || named(&problem.detail),
        format!("the SKU {} ({id}) to be named", variant.sku),
    )
}
