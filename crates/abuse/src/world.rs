use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::{Service, Stack};
use ferrocart_types::{IdGen as _, SystemIds};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// What must stand in no log. The number is a test number of the card networks.
pub(crate) const PASSWORD: &str = "planted-Passw0rd-of-a-victim";
pub(crate) const STREET: &str = "77 Plantedstreet";
pub(crate) const NAME: &str = "Planted Lovelace";
pub(crate) const CARD: &str = "4242424242424242";

pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

/// A shop with a customer who owns one of everything, another who wants it, and a merchant.
pub struct World {
    pub(crate) stack_folder: std::path::PathBuf,
    pub(crate) gateway: String,
    pub(crate) port: u16,
    pub(crate) gateway_pid: i32,
    pub(crate) http: Client,
    pub(crate) victim: User,
    pub(crate) attacker: User,
    pub(crate) merchant: String,
    pub(crate) sku: String,
    /// What belongs to the victim or to the merchant, by the name of the path's parameter.
    pub(crate) things: Vec<(&'static str, String)>,
    pub(crate) jwt_key_pem: String,
    pub(crate) webhook_secret: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    /// For the report.
    pub(crate) fn said(&self) -> String {
        let text: String = self.text.chars().take(160).collect();
        format!("{} {} {text}", self.status, self.code)
    }

    /// Refused, in a way that is the client's fault.
    pub(crate) fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status) && self.status != 429
    }

    fn expect(self, what: &str) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "{what}: {}", self.said());
        Ok(self.json)
    }
}

/// What a request carries besides its path.
#[derive(Default, Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

/// A client with an address of its own: limits are by address.
pub(crate) fn client(from: [u8; 2]) -> Result<Client> {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, from[0], from[1]));
    Client::builder()
        .no_proxy()
        .local_address(address)
        .timeout(Duration::from_secs(30))
        .build()
        .context("an HTTP client")
}

pub(crate) fn fresh() -> String {
    SystemIds.next().to_string()
}

pub(crate) fn address() -> Value {
    json!({ "name": NAME, "line1": STREET, "city": "Springfield", "postal_code": "12345", "country": "US" })
}

pub(crate) async fn call(
    http: &Client,
    base: &str,
    (method, path): (&str, &str),
    with: With<'_>,
) -> Result<Answer> {
    let method = Method::from_bytes(method.as_bytes()).context("a method")?;
    let changes = method != Method::GET;
    let mut request = http.request(method, format!("{base}{path}"));
    if let Some(token) = with.token {
        request = request.bearer_auth(token);
    }
    if changes && !with.headers.iter().any(|(name, _)| *name == "idempotency-key") {
        request = request.header("idempotency-key", fresh());
    }
    for (name, value) in with.headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = with.body {
        if !with.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        request = request.body(body.to_vec());
    }
    let response = request.send().await.with_context(|| path.to_owned())?;
    let status = response.status().as_u16();
    let streams = response
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let text = if streams {
        String::new()
    } else {
        response.text().await.unwrap_or_default()
    };
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = json["code"].as_str().unwrap_or_default().to_owned();
    Ok(Answer {
        status,
        code,
        text,
        json,
    })
}

fn text(value: &Value, field: &str) -> Result<String> {
    let found = value[field].as_str();
    Ok(found
        .with_context(|| format!("no {field} in {value}"))?
        .to_owned())
}

impl World {
    pub(crate) async fn new(stack: &Stack) -> Result<Self> {
        let gateway = stack.url(Service::Gateway);
        let http = client([9, 1])?;
        let jwt_file = stack.env_for(Service::Gateway)?["JWT_SIGNING_KEY_FILE"].clone();
        let mut world = Self {
            stack_folder: stack.folder().to_owned(),
            port: stack.port(Service::Gateway),
            gateway_pid: stack
                .process(Service::Gateway)
                .pid()
                .context("the gateway's process")?,
            victim: user(&http, &gateway, NAME, PASSWORD).await?,
            attacker: user(&http, &gateway, "Mallory", &fresh()).await?,
            gateway,
            http,
            merchant: stack.access_token("merchant").await?,
            sku: String::new(),
            things: Vec::new(),
            jwt_key_pem: std::fs::read_to_string(jwt_file).context("the gateway's key")?,
            webhook_secret: stack.env_for(Service::Payment)?["PSP_WEBHOOK_SECRET"].clone(),
        };
        world.make_things().await?;
        Ok(world)
    }

    pub(crate) async fn send(&self, call_: (&str, &str), with: With<'_>) -> Result<Answer> {
        call(&self.http, &self.gateway, call_, with).await
    }

    /// With a JSON body and a token.
    pub(crate) async fn json(&self, call_: (&str, &str), token: &str, body: &Value) -> Result<Answer> {
        let body = body.to_string();
        let with = With {
            token: Some(token),
            body: Some(body.as_bytes()),
            ..With::default()
        };
        self.send(call_, with).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Result<Answer> {
        let with = With {
            token: Some(token),
            ..With::default()
        };
        self.send(("GET", path), with).await
    }

    pub(crate) fn thing(&self, name: &str) -> Option<&str> {
        self.things
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, id)| id.as_str())
    }

    async fn make(&self, path: &str, token: &str, body: Value) -> Result<Value> {
        self.json(("POST", path), token, &body).await?.expect(path)
    }

    /// The cart is free again when the cart service has heard that the order is confirmed.
    async fn fill_cart_again(&self, token: &str, line: &Value) -> Result<()> {
        let until = std::time::Instant::now() + Duration::from_mins(1);
        loop {
            let answer = self.json(("POST", "/v1/cart/items"), token, line).await?;
            if answer.code != "CART_CHECKED_OUT" || std::time::Instant::now() > until {
                return answer.expect("the cart after a checkout").map(drop);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn make_things(&mut self) -> Result<()> {
        let (merchant, victim) = (self.merchant.clone(), self.victim.token.clone());
        self.make(
            "/v1/categories",
            &merchant,
            json!({ "slug": "abuse", "name": "Abuse" }),
        )
        .await?;
        let product = self.make("/v1/products", &merchant, product("abuse")).await?;
        let sku = text(&product["variants"][0], "sku_id")?;
        self.sku.clone_from(&sku);
        self.make(
            "/v1/inventory",
            &merchant,
            json!({ "sku_id": sku, "on_hand": 1000 }),
        )
        .await?;
        let wanted = json!({ "order_id": fresh(), "items": [{ "sku_id": sku, "quantity": 1 }] });
        let reservation = self.make("/v1/inventory/reserve", &merchant, wanted).await?;
        let line = json!({ "sku_id": sku, "quantity": 1 });
        let hold = self.make("/v1/holds", &victim, line.clone()).await?;
        self.make("/v1/cart/items", &victim, line.clone()).await?;
        let checkout = json!({ "payment_method": "pm_card_visa", "shipping_address": address() });
        let order = self.make("/v1/checkout", &victim, checkout).await?;
        self.fill_cart_again(&victim, &line).await?;
        let key = json!({ "name": "Report", "scope": "read" });
        let path = format!("/v1/users/{}/api-keys", self.victim.id);
        let key = self.make(&path, &victim, key).await?;
        let key_id = key["key_id"].as_str().or_else(|| key["client_id"].as_str());
        self.things = vec![
            ("user_id", self.victim.id.clone()),
            ("key_id", key_id.unwrap_or_default().to_owned()),
            ("product_id", text(&product, "product_id")?),
            ("sku_id", sku),
            ("reservation_id", text(&reservation, "reservation_id")?),
            ("hold_id", text(&hold, "hold_id")?),
            ("order_id", text(&order, "order_id")?),
            ("payment_id", text(&order["payment"], "payment_id")?),
        ];
        Ok(())
    }
}

pub(crate) fn product(handle: &str) -> Value {
    json!({
        "handle": handle, "title": "A product", "description": "Everybody reaches for it.", "brand": "Testa",
        "category": "abuse", "attributes": {}, "images": [],
        "variants": [{ "sku": format!("{handle}-1"), "options": {}, "price": { "amount_minor": 4_200, "currency": "USD" } }],
    })
}

async fn user(http: &Client, gateway: &str, name: &str, password: &str) -> Result<User> {
    let email = format!("{}@planted.example", fresh());
    let account = json!({ "email": email, "password": password, "name": name }).to_string();
    let body = With {
        body: Some(account.as_bytes()),
        ..With::default()
    };
    let made = call(http, gateway, ("POST", "/v1/users"), body).await?;
    let id = text(&made.expect("an account")?, "user_id")?;
    let login = json!({ "email": email, "password": password }).to_string();
    let body = With {
        body: Some(login.as_bytes()),
        ..With::default()
    };
    let tokens = call(http, gateway, ("POST", "/v1/auth/token"), body).await?;
    let tokens = tokens.expect("a login")?;
    Ok(User {
        id,
        email,
        token: text(&tokens, "access_token")?,
        refresh_token: text(&tokens, "refresh_token")?,
    })
}
