//! What buyers and staff do, each through the gateway.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::client::{Answer, Client, PATIENCE, PAUSE, Request, fresh_key};

pub(crate) const GOOD: &str = "pm_card_visa";
pub(crate) const DECLINED: &str = "pm_card_chargeDeclined";

/// Somebody who buys, as a guest or with an account.
#[derive(Clone)]
pub(crate) struct Buyer {
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Buyer {
    pub(crate) async fn guest(client: &Client) -> Result<Self> {
        let answer = client
            .succeed(&Request::post("/v1/auth/guest", "", json!({})))
            .await?;
        Ok(Self {
            client: client.clone(),
            token: answer.field("access_token")?,
        })
    }

    pub(crate) async fn customer(client: &Client) -> Result<Self> {
        let email = format!("{}@example.com", fresh_key());
        let password = format!("Walnut-{}", fresh_key());
        let user = json!({ "email": email, "password": password, "name": "Ada" });
        client.succeed(&Request::post("/v1/users", "", user)).await?;
        let login = json!({ "email": email, "password": password });
        let answer = client
            .succeed(&Request::post("/v1/auth/token", "", login))
            .await?;
        Ok(Self {
            client: client.clone(),
            token: answer.field("access_token")?,
        })
    }

    pub(crate) async fn fill_cart(&self, sku: &str) -> Result<()> {
        let item = json!({ "sku_id": sku, "quantity": 1 });
        self.client
            .succeed(&Request::post("/v1/cart/items", &self.token, item))
            .await
            .map(drop)
    }

    /// The request, so that it can be sent again with the same key.
    pub(crate) fn checkout(&self, method: &str) -> Request<'_> {
        let body = json!({
            "payment_method": method, "email": "guest@example.com", "shipping_address": address(),
        });
        Request::post("/v1/checkout", &self.token, body)
    }

    /// A definite answer to a checkout with the order it made, however it ended.
    pub(crate) async fn check_out(&self, method: &str) -> Result<String> {
        let answer = self.client.ask(&self.checkout(method)).await?;
        order_of(&answer)
    }

    /// Holds a unit, orders it, and names a payment method later.
    pub(crate) async fn redeem(&self, sku: &str) -> Result<String> {
        let order_id = self.order_held(sku).await?;
        let method = json!({ "payment_method": GOOD });
        let path = format!("/v1/orders/{order_id}/payment");
        self.change(&order_id, Request::put(path, &self.token, Some(method)))
            .await?;
        Ok(order_id)
    }

    /// Holds a unit, orders it, and pays at the provider, as its client does it in the buyer's browser.
    pub(crate) async fn pay_there(&self, sku: &str, provider: &str) -> Result<String> {
        let order_id = self.order_held(sku).await?;
        let order = self
            .order_when(&order_id, |order| order["payment"]["status"] == "PENDING")
            .await?;
        let payment = order["payment"]["payment_id"]
            .as_str()
            .context("an order without its payment")?;
        let path = format!("/v1/payments/{payment}/client-secret");
        let answer = self.client.succeed(&Request::get(path, &self.token)).await?;
        let secret = answer.field("client_secret")?;
        let (intent, _) = secret
            .split_once("_secret_")
            .context("a client secret that names its intent")?;
        self.client
            .http()
            .post(format!("{provider}/v1/payment_intents/{intent}/confirm"))
            .bearer_auth(answer.field("publishable_key")?)
            .form(&[("client_secret", secret.as_str()), ("payment_method", GOOD)])
            .send()
            .await
            .context("pay at the provider")?
            .error_for_status()?;
        self.order_when(&order_id, |order| order["status"] == "CONFIRMED")
            .await?;
        Ok(order_id)
    }

    async fn order_when(&self, order_id: &str, there: impl Fn(&Value) -> bool) -> Result<Value> {
        let began = Instant::now();
        loop {
            let order = self.order(order_id).await?;
            if there(&order) {
                return Ok(order);
            }
            ensure!(began.elapsed() < PATIENCE, "the order stays as it is: {order}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn order_held(&self, sku: &str) -> Result<String> {
        let hold = json!({ "sku_id": sku, "quantity": 1 });
        let hold = self
            .client
            .succeed(&Request::post("/v1/holds", &self.token, hold))
            .await?;
        let order = json!({ "hold_id": hold.field("hold_id")?, "shipping_address": address() });
        let request = Request {
            may_wait: true,
            ..Request::post("/v1/orders", &self.token, order)
        };
        order_of(&self.client.ask(&request).await?)
    }

    pub(crate) async fn cancel(&self, order_id: &str) -> Result<()> {
        let path = format!("/v1/orders/{order_id}/cancel");
        self.change(order_id, Request::put(path, &self.token, None)).await
    }

    /// Sends a command until it is answered definitely.
    async fn change(&self, order_id: &str, request: Request<'_>) -> Result<()> {
        let answer = self.client.ask(&request).await?;
        // A second try may come after the first one's end.
        if answer.status == 200 || answer.status == 409 {
            return Ok(());
        }
        bail!("the order {order_id}: {}: {}", answer.status, answer.text)
    }

    pub(crate) async fn order(&self, order_id: &str) -> Result<Value> {
        let request = Request::get(format!("/v1/orders/{order_id}"), &self.token);
        Ok(self.client.succeed(&request).await?.json)
    }
}

/// The order that a checkout's answer names, be it a success or a refusal.
fn order_of(answer: &Answer) -> Result<String> {
    answer.field("order_id")
}

pub(crate) fn address() -> Value {
    json!({
        "name": "Ada Lovelace", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US",
    })
}

/// What the staff does with an order.
#[derive(Clone)]
pub(crate) struct Staff {
    pub(crate) client: Client,
    pub(crate) warehouse: String,
    pub(crate) support: String,
}

impl Staff {
    pub(crate) async fn ship(&self, order_id: &str) -> Result<()> {
        self.command(order_id, "ship", &self.warehouse).await
    }

    pub(crate) async fn deliver(&self, order_id: &str) -> Result<()> {
        self.command(order_id, "deliver", &self.warehouse).await
    }

    pub(crate) async fn refund(&self, order_id: &str) -> Result<()> {
        self.command(order_id, "refund", &self.support).await
    }

    /// Sent with one key until it is answered definitely.
    pub(crate) async fn refund_part(&self, order_id: &str, amount_minor: i64) -> Result<()> {
        let path = format!("/v1/orders/{order_id}/refund");
        let body = json!({ "amount": { "amount_minor": amount_minor, "currency": "USD" } });
        let request = Request {
            key: Some(fresh_key()),
            ..Request::put(path, &self.support, Some(body))
        };
        let answer = self.client.ask(&request).await?;
        if answer.status == 200 {
            return Ok(());
        }
        bail!("refund a part of {order_id}: {}: {}", answer.status, answer.text)
    }

    async fn command(&self, order_id: &str, command: &str, token: &str) -> Result<()> {
        let path = format!("/v1/orders/{order_id}/{command}");
        let answer = self.client.ask(&Request::put(path, token, None)).await?;
        if answer.status == 200 || answer.status == 409 {
            return Ok(());
        }
        bail!("{command} {order_id}: {}: {}", answer.status, answer.text)
    }
}
