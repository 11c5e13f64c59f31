//! Who may do what, on the whole platform: every public call by everybody, through the gateway and again at the
//! service itself, against a table written by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use ferrocart_http_kit::{AuthSettings, Role, TokenIssuer, UserIdentity};
use ferrocart_stack::Service;
use ferrocart_types::{MockClock, SharedClock, SystemClock, UserId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::matrix_table::{Home, Row, TABLE};
use crate::platform::{ExpectOk, Platform, address, fresh};

/// The columns of the table: who calls.
const CALLERS: [(&str, Role); 9] = [
    ("nobody", Role::Anonymous),
    ("a guest", Role::Guest),
    ("another customer", Role::Customer),
    ("another merchant", Role::Merchant),
    ("the warehouse", Role::Warehouse),
    ("the customer", Role::Customer),
    ("the merchant", Role::Merchant),
    ("support", Role::Support),
    ("an administrator", Role::Admin),
];
const CUSTOMER: usize = 5;
const MERCHANT: usize = 6;
const ADMIN: usize = 8;

struct Caller {
    user_id: Uuid,
    email: String,
    /// `None` is nobody.
    token: Option<String>,
}

struct World {
    platform: Platform,
    http: reqwest::Client,
    callers: Vec<Caller>,
    /// What stands in the paths: `{product}` and the like.
    things: Vec<(&'static str, String)>,
}

impl World {
    async fn new() -> Self {
        // All callers have one address, and nobody waits.
        let platform = Platform::with(&[
            ("LIMITS__AUTH__PER_SECOND", "10000"),
            ("LIMITS__AUTH__BURST", "10000"),
        ])
        .await;
        let http = reqwest::Client::new();
        let mut world = Self {
            platform,
            http,
            callers: Vec::new(),
            things: Vec::new(),
        };
        for (_, role) in CALLERS {
            let caller = world.caller(role).await;
            world.callers.push(caller);
        }
        world.make_things().await;
        world
    }

    async fn caller(&self, role: Role) -> Caller {
        let api = &self.platform.api;
        if role == Role::Anonymous || role == Role::Guest {
            let guest = api.post("/v1/auth/guest", json!({})).await.expect_ok();
            let token = (role == Role::Guest).then(|| text(&guest, "access_token"));
            let user_id = token.as_deref().map_or_else(Uuid::nil, subject);
            return Caller {
                user_id,
                email: String::new(),
                token,
            };
        }
        let (email, password) = (format!("{}@example.com", fresh()), fresh());
        let account = json!({ "email": email, "password": password, "name": "Ada Lovelace" });
        let user_id = text(&api.post("/v1/users", account).await.expect_ok(), "user_id");
        let admin = self.platform.as_role("admin").await;
        let path = format!("/v1/users/{user_id}/roles");
        admin.put(&path, json!({ "roles": [role] })).await.expect_ok();
        let login = json!({ "email": email, "password": password });
        let tokens = api.post("/v1/auth/token", login).await.expect_ok();
        Caller {
            user_id: user_id.parse().unwrap(),
            email,
            token: Some(text(&tokens, "access_token")),
        }
    }

    fn api(&self, caller: usize) -> ferrocart_test_kit::Api {
        let token = self.callers[caller].token.clone().unwrap();
        self.platform.api.with_token(token)
    }

    /// What belongs to the customer and to the merchant, so that others have something to reach for.
    async fn make_things(&mut self) {
        let (customer, merchant) = (self.api(CUSTOMER), self.api(MERCHANT));
        let category = json!({ "slug": "matrix", "name": "Matrix" });
        merchant.post("/v1/categories", category).await.expect_ok();
        let product = merchant.post("/v1/products", product()).await.expect_ok();
        let sku = text(&product["variants"][0], "sku_id");
        let stock = json!({ "sku_id": sku, "on_hand": 1000 });
        merchant
            .post_once("/v1/inventory", &fresh(), stock)
            .await
            .expect_ok();
        let order = fresh();
        let wanted = json!({ "order_id": order, "items": [{ "sku_id": sku, "quantity": 1 }] });
        let reservation = merchant
            .post_once("/v1/inventory/reserve", &fresh(), wanted)
            .await
            .expect_ok();
        let sale = json!({ "sku_id": sku, "name": "Matrix", "units_per_buyer_max": 5 });
        let sale = merchant
            .post_once("/v1/flash-sales", &fresh(), sale)
            .await
            .expect_ok();
        let line = json!({ "sku_id": sku, "quantity": 1 });
        let hold = customer.post_once("/v1/holds", &fresh(), &line).await.expect_ok();
        customer.post("/v1/cart/items", &line).await.expect_ok();
        let checkout = json!({ "payment_method": "pm_card_visa", "shipping_address": address() });
        let order = customer
            .post_once("/v1/checkout", &fresh(), checkout)
            .await
            .expect_ok();
        for command in ["preload", "start"] {
            let path = format!("/v1/flash-sales/{}/{command}", text(&sale, "sale_id"));
            merchant.post(&path, json!({})).await.expect_ok();
        }
        self.things = vec![
            ("{user}", self.callers[CUSTOMER].user_id.to_string()),
            ("{email}", self.callers[CUSTOMER].email.clone()),
            ("{product}", text(&product, "product_id")),
            ("{category}", text(&product, "category_id")),
            ("{sku}", sku),
            ("{reservation}", text(&reservation, "reservation_id")),
            ("{sale}", text(&sale, "sale_id")),
            ("{hold}", text(&hold, "hold_id")),
            ("{order}", text(&order, "order_id")),
            ("{payment}", text(&order["payment"], "payment_id")),
            ("{any}", fresh()),
        ];
    }

    fn fill(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.things {
            text = text.replace(name, value);
        }
        text
    }

    /// Status and code; of a stream, which does not end, only the status.
    async fn call(
        &self,
        base_url: &str,
        (method, path, body): (&str, &str, &str),
        token: Option<&str>,
    ) -> (StatusCode, String) {
        let method: Method = method.parse().unwrap();
        let url = format!("{base_url}{}", self.fill(path));
        let mut request = self
            .http
            .request(method.clone(), url)
            .header("idempotency-key", fresh());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if method != Method::GET {
            let body = if body == "product" {
                product().to_string()
            } else {
                self.fill(body)
            };
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        if status.is_success() {
            return (status, String::new());
        }
        let body: Value = response.json().await.unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn product() -> Value {
    json!({
        "handle": "matrix", "title": "A matrix", "description": "Everybody reaches for it.",
        "brand": "Testa", "category": "matrix", "attributes": {}, "images": [],
        "variants": [{ "sku": "matrix-1", "options": {}, "price": { "amount_minor": 4_200, "currency": "USD" } }],
    })
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {value}"))
        .to_owned()
}

/// Of an access token.
fn subject(token: &str) -> Uuid {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().parse().unwrap()
}

/// Whether an answer is what the table's sign stands for.
fn is_as_written(sign: char, status: StatusCode, code: &str) -> bool {
    let refused = matches!(status.as_u16(), 401 | 403);
    match sign {
        '-' => status == 401 && code == "UNAUTHENTICATED",
        'x' => status == 403 && code == "FORBIDDEN",
        '0' => status == 404 && code != "NOT_FOUND",
        '2' => status.is_success(),
        'b' => (status == 403 && code == "REVIEW_NOT_ALLOWED") || status.is_success() || status == 409,
        '+' => !refused && status != 429 && !status.is_server_error() && code != "NOT_FOUND",
        '~' => !refused && status != 429 && !status.is_server_error(),
        _ => panic!("`{sign}` is no sign of the table"),
    }
}

/// The paths of a document, with all that stands in braces alike.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                found.insert((method.to_uppercase(), shape(path)));
            }
        }
    }
    found
}

fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Signs as the gateway does, with the keys of the running platform.
fn issuer(platform: &Platform, service: Service, name: &'static str, clock: SharedClock) -> TokenIssuer {
    let env = platform.stack.env_for(service).unwrap();
    let settings = AuthSettings {
        internal_signing_key_file: env["INTERNAL_SIGNING_KEY_FILE"].clone().into(),
        internal_jwks_file: env["INTERNAL_JWKS_FILE"].clone().into(),
    };
    TokenIssuer::load(name, &settings, clock).unwrap()
}

fn identity(user_id: Uuid, role: Role) -> UserIdentity {
    UserIdentity {
        user_id: UserId(user_id),
        roles: vec![role],
        email: None,
        guest_session: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_the_table_says_at_the_gateway_and_at_every_service() {
    let world = World::new().await;
    let gateway = world.platform.stack.url(Service::Gateway);
    let document: Value = world.platform.api.get("/openapi.json").await.expect_ok();
    let written: BTreeSet<_> = TABLE
        .iter()
        .map(|row| (row.method.to_owned(), shape(row.path)))
        .collect();
    let missing: Vec<_> = operations(&document).difference(&written).cloned().collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");

    let mut wrong = Vec::new();
    no_service_trusts_its_network(&world, &mut wrong).await;
    at_the_services(&world, &mut wrong).await;
    let tokens: Vec<_> = world.callers.iter().map(|caller| caller.token.clone()).collect();
    for row in TABLE {
        walk(&world, ("gateway", &gateway), row, &tokens, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// One call by everybody: first those who are refused, so that what the others change or remove is still there.
async fn walk(
    world: &World,
    (place, url): (&str, &str),
    row: &Row,
    tokens: &[Option<String>],
    wrong: &mut Vec<String>,
) {
    let at_gateway = place == "gateway";
    let callers = || row.signs.chars().zip(CALLERS).zip(tokens);
    let mut judge = |sign, who, (status, code): (StatusCode, String)| {
        let is_refusal = matches!(status.as_u16(), 401 | 403) || is_as_written('0', status, &code);
        let is_right =
            is_as_written(sign, status, &code) || (!at_gateway && "-x0".contains(sign) && is_refusal);
        if !is_right {
            wrong.push(format!(
                "{place}: {} {} by {who}: `{sign}` is written, {status} {code} came",
                row.method, row.path
            ));
        }
    };
    let refused = callers().filter(|((sign, _), _)| "-x0".contains(*sign));
    let answers = refused.map(async |((sign, (who, _)), token)| {
        (sign, who, world.call(url, row.call(), token.as_deref()).await)
    });
    for (sign, who, answer) in futures::future::join_all(answers).await {
        judge(sign, who, answer);
    }
    for ((sign, (who, _)), token) in callers().filter(|((sign, _), _)| !"-x0".contains(*sign)) {
        // At a service, what would be gone afterwards is left to the gateway's turn.
        if at_gateway || row.method != "DELETE" {
            judge(sign, who, world.call(url, row.call(), token.as_deref()).await);
        }
    }
}

/// The same calls, made to the service as somebody inside the network could who has the gateway's word for a
/// role: the service must not rely on the gateway's check. It may refuse in its own way, and hide what is another's.
async fn at_the_services(world: &World, wrong: &mut Vec<String>) {
    let issuer = issuer(
        &world.platform,
        Service::Gateway,
        "gateway",
        Arc::new(SystemClock),
    );
    for row in TABLE {
        let Home::At(service, name) = row.home else {
            continue;
        };
        let url = world.platform.stack.url(service);
        let tokens: Vec<_> = CALLERS
            .iter()
            .zip(&world.callers)
            .map(|((_, role), caller)| issuer.user_token(name, &identity(caller.user_id, *role)).ok())
            .collect();
        walk(world, (name, &url), row, &tokens, wrong).await;
    }
}

/// Every call that a service documents, internal ones too: without a token, with one for another service, with an
/// old one and with a client's own token it is 401; what is for services alone is 403 for an administrator.
async fn no_service_trusts_its_network(world: &World, wrong: &mut Vec<String>) {
    let platform = &world.platform;
    let now = issuer(platform, Service::Gateway, "gateway", Arc::new(SystemClock));
    let an_hour_ago = ferrocart_types::Clock::now(&SystemClock) - chrono::TimeDelta::hours(1);
    let old = issuer(platform, Service::Gateway, "gateway", MockClock::at(an_hour_ago));
    let order = issuer(platform, Service::Order, "order", Arc::new(SystemClock));
    let admin = identity(world.callers[ADMIN].user_id, Role::Admin);
    for (service, name) in SERVICES {
        let url = platform.stack.url(service);
        let document: Value = world
            .http
            .get(format!("{url}/openapi.json"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let elsewhere = if name == "cart" { "catalog" } else { "cart" };
        let good = now.user_token(name, &admin).unwrap();
        let refused = [
            ("no token", None),
            (
                "a token for another service",
                Some(now.user_token(elsewhere, &admin).unwrap()),
            ),
            (
                "a service's token for another service",
                Some(order.service_token(elsewhere).unwrap()),
            ),
            ("an old token", Some(old.user_token(name, &admin).unwrap())),
            (
                "a user's token by another service",
                Some(order.user_token(name, &admin).unwrap()),
            ),
            ("a client's token", world.callers[ADMIN].token.clone()),
        ];
        let calls = operations(&document);
        assert!(!calls.is_empty(), "{name} documents nothing");
        for (method, path) in calls {
            if path == "/v1/payments/webhook" {
                continue;
            }
            let path = path.replace("{}", &fresh());
            let call = (&*method, &*path, "{}");
            let answers = refused
                .iter()
                .map(async |(what, token)| (*what, world.call(&url, call, token.as_deref()).await));
            for (what, (status, code)) in futures::future::join_all(answers).await {
                if status != 401 {
                    wrong.push(format!("{name}: {method} {path} with {what}: {status} {code}"));
                }
            }
            if path.starts_with("/internal/") {
                let (status, code) = world.call(&url, call, Some(&good)).await;
                if status != 403 {
                    wrong.push(format!(
                        "{name}: {method} {path} by an administrator: {status} {code}"
                    ));
                }
            }
        }
    }
}

const SERVICES: [(Service, &str); 7] = [
    (Service::Catalog, "catalog"),
    (Service::Search, "search"),
    (Service::Cart, "cart"),
    (Service::Inventory, "inventory"),
    (Service::Order, "order"),
    (Service::Payment, "payment"),
    (Service::Notification, "notification"),
];
