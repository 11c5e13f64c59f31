//! The cart service over HTTP, on a real Redis and a real broker, with a catalog that this test plays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hints;
mod merging;
mod restart;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use ferrocart_cart::{Application, CartLimits, Settings};
use ferrocart_contracts::v1::{Order, OrderCancelled, OrderConfirmed};
use ferrocart_http_kit::{Role, UserIdentity};
use ferrocart_test_kit::{Api, TestEnv, TestKeys, eventually};
use ferrocart_types::{Currency, SystemClock, SystemIds, UserId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// SKU → price and status, as the catalog of this test knows them.
type Prices = Arc<Mutex<HashMap<String, (i64, &'static str)>>>;
/// SKU → units that are left, as the inventory of this test knows them.
type Stock = Arc<Mutex<HashMap<String, u64>>>;

struct Shop {
    env: TestEnv,
    api: Api,
    prices: Prices,
    stock: Stock,
    cancel: CancellationToken,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("cart").await;
        let (prices, stock) = (Prices::default(), Stock::default());
        let neighbours = play_neighbours(&prices, &stock);
        let mut settings = Settings {
            http: env.http(),
            telemetry: env.telemetry(),
            auth: env.auth(),
            redis: env.redis.clone(),
            kafka: env.kafka.clone(),
            catalog_url: format!("http://127.0.0.1:{neighbours}"),
            catalog_timeout_ms: 5_000,
            inventory_url: format!("http://127.0.0.1:{neighbours}"),
            inventory_timeout_ms: 5_000,
            offers_ttl_ms: 1,
            cart: CartLimits {
                user_ttl_seconds: 1_000,
                guest_ttl_seconds: 100,
                lines_max: 3,
                quantity_max: 20,
                currency: Currency::USD,
            },
        };
        change(&mut settings);
        let cancel = CancellationToken::new();
        let application = Application::build(&settings, Arc::new(SystemClock), Arc::new(SystemIds)).unwrap();
        let api = Api::new(application.port().unwrap());
        ferrocart_telemetry::spawn("cart", application.run_until_stopped(cancel.clone()));
        Self {
            env,
            api,
            prices,
            stock,
            cancel,
        }
    }

    fn sku(&self, price: i64) -> String {
        let sku = fresh();
        self.prices.lock().unwrap().insert(sku.clone(), (price, "active"));
        sku
    }

    fn user(&self) -> (UserId, Api) {
        let (id, token) = self.env.keys.new_user("cart", &[Role::Customer]);
        (id, self.api.with_token(token))
    }

    fn guest(&self) -> (UserId, Api) {
        let (id, token) = self.env.keys.new_user("cart", &[Role::Guest]);
        (id, self.api.with_token(token))
    }

    /// The user's token as the gateway makes it for a merge.
    fn merging(&self, user: UserId, guest: UserId) -> Api {
        let identity = UserIdentity {
            user_id: user,
            roles: vec![Role::Customer],
            email: None,
            guest_session: Some(guest.as_uuid()),
        };
        self.api.with_token(self.env.keys.user_token("cart", &identity))
    }

    fn order_service(&self) -> Api {
        self.api.with_token(self.env.keys.service_token("order", "cart"))
    }
}

/// A catalog and an inventory on one port.
fn play_neighbours(prices: &Prices, stock: &Stock) -> u16 {
    let (prices, stock) = (web::Data::new(prices.clone()), web::Data::new(stock.clone()));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(prices.clone())
            .app_data(stock.clone())
            .route("/internal/v1/prices", web::post().to(answer_prices))
            .route("/v1/inventory", web::get().to(answer_stock))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let port = server.addrs()[0].port();
    ferrocart_telemetry::spawn("neighbours", server.run());
    port
}

async fn answer_prices(body: web::Json<Value>, prices: web::Data<Prices>) -> HttpResponse {
    let prices = prices.lock().unwrap();
    let items: Vec<Value> = body["sku_ids"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|sku| {
            let (price, status) = prices.get(sku.as_str().unwrap())?;
            Some(
                json!({"sku_id": sku, "product_id": Uuid::nil(), "merchant_id": Uuid::nil(), "sku": "SHOE-42",
                "title": "Shoe", "options": {}, "status": status,
                "price": {"amount_minor": price, "currency": "USD"}}),
            )
        })
        .collect();
    HttpResponse::Ok().json(json!({ "items": items }))
}

async fn answer_stock(request: HttpRequest, stock: web::Data<Stock>) -> HttpResponse {
    let stock = stock.lock().unwrap();
    let names = request.query_string().strip_prefix("sku_ids=").unwrap();
    let items: Vec<Value> = names
        .split(',')
        .filter_map(|sku| Some(json!({"sku_id": sku, "available": stock.get(sku)?})))
        .collect();
    HttpResponse::Ok().json(json!({ "items": items }))
}

#[expect(clippy::disallowed_methods, reason = "a test wants fresh ids")]
fn fresh() -> String {
    Uuid::now_v7().to_string()
}

fn line(sku: &str, quantity: i64) -> Value {
    json!({ "sku_id": sku, "quantity": quantity })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_filled_changed_and_emptied() {
    let shop = Shop::open().await;
    let (id, api) = shop.user();
    let empty = api.get("/v1/cart").await.expect(200);
    assert_eq!(empty.json["cart_id"], format!("user:{id}"));
    assert_eq!(empty.json["items"], json!([]));
    assert_eq!(
        empty.json["subtotal"],
        json!({"amount_minor": 0, "currency": "USD"})
    );
    let (shoe, hat) = (shop.sku(2_500), shop.sku(100));
    api.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
    api.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    let cart = api.post("/v1/cart/items", line(&hat, 4)).await.expect(200).json;
    assert_eq!(
        cart["subtotal"],
        json!({"amount_minor": 3 * 2_500 + 400, "currency": "USD"})
    );
    assert_eq!(cart["version"], 3);
    let put = format!("/v1/cart/items/{shoe}");
    let cart = api.put(&put, json!({"quantity": 1})).await.expect(200).json;
    assert_eq!(cart["subtotal"]["amount_minor"], 2_900);
    let cart = api.delete(&put).await.expect(200).json;
    assert_eq!(cart["items"].as_array().unwrap().len(), 1);
    api.delete(&put).await.expect_problem(404, "CART_ITEM_NOT_FOUND");
    assert_eq!(api.delete("/v1/cart").await.expect(200).json["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let shop = Shop::open().await;
    let (_, api) = shop.user();
    let shoe = shop.sku(100);
    for (body, field) in [
        (line(&shoe, 0), "quantity"),
        (line(&shoe, -1), "quantity"),
        (line("x", 1), "sku_id"),
        (json!({"sku_id": shoe}), "quantity"),
        (
            json!({"sku_id": shoe, "quantity": 1, "unit_price": 1}),
            "unit_price",
        ),
    ] {
        let problem = api
            .post("/v1/cart/items", &body)
            .await
            .expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(problem.json["errors"][0]["field"], field, "{body}");
    }
    api.post("/v1/cart/items", line(&fresh(), 1))
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.prices.lock().unwrap().insert(shoe.clone(), (100, "draft"));
    api.post("/v1/cart/items", line(&shoe, 1))
        .await
        .expect_problem(409, "PRODUCT_UNAVAILABLE");
    api.put("/v1/cart/items/x", json!({"quantity": 1}))
        .await
        .expect_problem(400, "INVALID_SKU_ID");
    let many = shop.sku(1);
    api.post("/v1/cart/items", line(&many, 21))
        .await
        .expect_problem(400, "INVALID_QUANTITY");
    for _ in 0..3 {
        api.post("/v1/cart/items", line(&shop.sku(1), 1))
            .await
            .expect(200);
    }
    api.post("/v1/cart/items", line(&many, 1))
        .await
        .expect_problem(409, "CART_FULL");
    let nobody = shop.api.with_token(shop.env.keys.anonymous_token("cart"));
    nobody
        .get("/v1/cart")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    nobody
        .get("/internal/v1/carts/user:x")
        .await
        .expect_problem(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_at_once_lose_no_update() {
    let shop = Shop::open_with(|settings| settings.cart.quantity_max = 1_000).await;
    let (_, api) = shop.user();
    let shoe = shop.sku(100);
    let adds = (0..100).map(|_| {
        let (api, shoe) = (api.clone(), shoe.clone());
        ferrocart_telemetry::spawn("add", async move {
            api.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
        })
    });
    for add in adds.collect::<Vec<_>>() {
        add.await.unwrap();
    }
    let cart = api.get("/v1/cart").await.expect(200).json;
    assert_eq!(cart["items"][0]["quantity"], 100);
    assert_eq!(cart["version"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_is_merged_exactly_once() {
    let shop = Shop::open().await;
    let (guest_id, guest) = shop.guest();
    let (user_id, user) = shop.user();
    let (shoe, hat) = (shop.sku(500), shop.sku(10));
    user.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
    guest.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    guest.post("/v1/cart/items", line(&hat, 1)).await.expect(200);
    let merging = shop.merging(user_id, guest_id);
    let merges = (0..10).map(|_| {
        let merging = merging.clone();
        ferrocart_telemetry::spawn("merge", async move {
            merging
                .post("/v1/cart/merge", json!({"guest_token": "t"}))
                .await
                .expect(200);
        })
    });
    for merge in merges.collect::<Vec<_>>() {
        merge.await.unwrap();
    }
    let cart = user.get("/v1/cart").await.expect(200).json;
    let quantity = |sku: &str| {
        let items = cart["items"].as_array().unwrap();
        items.iter().find(|item| item["sku_id"] == sku).unwrap()["quantity"].clone()
    };
    assert_eq!((quantity(&shoe), quantity(&hat)), (json!(3), json!(1)));
    assert_eq!(guest.get("/v1/cart").await.expect(200).json["items"], json!([]));
    user.post("/v1/cart/merge", json!({"guest_token": "t"}))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

fn order(cart: &str, order_id: &str) -> Order {
    Order {
        order_id: order_id.into(),
        cart_id: cart.into(),
        sequence: 1,
        ..Order::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checked_out_cart_is_emptied_by_its_order_and_given_back_without_it() {
    let shop = Shop::open().await;
    let (id, api) = shop.user();
    let cart_id = format!("user:{id}");
    let shoe = shop.sku(100);
    api.post("/v1/cart/items", line(&shoe, 2)).await.expect(200);
    let (off, stands, other) = (fresh(), fresh(), fresh());
    let mark = format!("/internal/v1/carts/{cart_id}/checked-out");
    let service = shop.order_service();
    service.post(&mark, json!({"order_id": off})).await.expect(200);
    service.post(&mark, json!({"order_id": off})).await.expect(200);
    service
        .post(&mark, json!({"order_id": other}))
        .await
        .expect_problem(409, "CART_CHECKED_OUT");
    api.post("/v1/cart/items", line(&shoe, 1))
        .await
        .expect_problem(409, "CART_CHECKED_OUT");

    shop.env
        .publish(
            "order",
            &OrderCancelled {
                order: Some(order(&cart_id, &off)),
                reason: String::new(),
            },
        )
        .await;
    let cart = eventually("an active cart", || async {
        Some(api.get("/v1/cart").await.expect(200).json).filter(|cart| cart["status"] == "ACTIVE")
    })
    .await;
    assert_eq!(cart["items"][0]["quantity"], 2, "given back as it was");
    // A late word of the order that is over changes nothing.
    let late = service
        .post(&mark, json!({"order_id": off}))
        .await
        .expect(200)
        .json;
    assert_eq!(late["status"], "ACTIVE");

    service.post(&mark, json!({"order_id": stands})).await.expect(200);
    let confirmed = OrderConfirmed {
        order: Some(order(&cart_id, &stands)),
        ..OrderConfirmed::default()
    };
    shop.env.publish("order", &confirmed).await;
    eventually("an empty cart", || async {
        let cart = api.get("/v1/cart").await.expect(200).json;
        (cart["items"] == json!([]) && cart["status"] == "ACTIVE").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_twice_or_late_change_nothing() {
    let shop = Shop::open().await;
    let (id, api) = shop.user();
    let cart_id = format!("user:{id}");
    let shoe = shop.sku(100);
    let (stands, other, marker) = (fresh(), fresh(), fresh());
    let mark = format!("/internal/v1/carts/{cart_id}/checked-out");
    let service = shop.order_service();
    let confirmed = OrderConfirmed {
        order: Some(order(&cart_id, &stands)),
        ..OrderConfirmed::default()
    };
    let cancelled = |order_id: &str| OrderCancelled {
        order: Some(order(&cart_id, order_id)),
        reason: String::new(),
    };

    // The event is faster than the mark: the mark comes too late and holds nothing.
    shop.env.publish("order", &confirmed).await;
    eventually("the order is over", || async {
        let answer = service
            .post(&mark, json!({"order_id": stands}))
            .await
            .expect(200)
            .json;
        (answer["status"] == "ACTIVE").then_some(())
    })
    .await;
    api.post("/v1/cart/items", line(&shoe, 1)).await.expect(200);
    shop.env.publish("order", &confirmed).await;
    shop.env.publish("order", &cancelled(&other)).await;
    // An event after these on the same cart shows that they were read.
    service.post(&mark, json!({"order_id": marker})).await.expect(200);
    shop.env.publish("order", &cancelled(&marker)).await;
    let cart = eventually("an active cart", || async {
        Some(api.get("/v1/cart").await.expect(200).json).filter(|cart| cart["status"] == "ACTIVE")
    })
    .await;
    assert_eq!(cart["items"][0]["quantity"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_that_is_sent_again_adds_once() {
    let shop = Shop::open().await;
    let (_, api) = shop.user();
    let shoe = shop.sku(100);
    let add = |quantity: i64, key: &'static str| {
        let (api, body) = (api.clone(), line(&shoe, quantity));
        async move {
            api.send(
                reqwest::Method::POST,
                "/v1/cart/items",
                Some(&body),
                &[("idempotency-key", key)],
            )
            .await
        }
    };
    // Two at a time, as a client does that gave up waiting too early.
    let (one, other) = tokio::join!(add(2, "a"), add(2, "a"));
    let replays = [&one, &other]
        .into_iter()
        .filter(|answer| answer.headers.contains_key("idempotent-replayed"))
        .count();
    assert_eq!(replays, 1);
    assert_eq!(one.expect(200).json["items"][0]["quantity"], 2);
    assert_eq!(other.expect(200).json["items"][0]["quantity"], 2);
    assert_eq!(add(2, "b").await.expect(200).json["items"][0]["quantity"], 4);
    add(3, "b").await.expect_problem(422, "IDEMPOTENCY_KEY_REUSED");
    add(1, "not visible")
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_INVALID");
    // Another's key is another key; what was refused may be tried again.
    let (_, stranger) = shop.user();
    stranger
        .send(
            reqwest::Method::POST,
            "/v1/cart/items",
            Some(&line(&shoe, 1)),
            &[("idempotency-key", "a")],
        )
        .await
        .expect(200);
    add(20, "c").await.expect_problem(400, "INVALID_QUANTITY");
    api.delete("/v1/cart").await.expect(200);
    assert_eq!(add(20, "c").await.expect(200).json["items"][0]["quantity"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_or_catalog_the_answer_is_503_in_time() {
    let shop = Shop::open_with(|settings| settings.catalog_url = "http://127.0.0.1:1".to_owned()).await;
    let (_, api) = shop.user();
    let problem = api.post("/v1/cart/items", line(&fresh(), 1)).await;
    assert!(problem.headers.contains_key("retry-after"));
    problem.expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    let shop =
        Shop::open_with(|settings| settings.redis.redis_url = "redis://127.0.0.1:1/0".to_owned()).await;
    let (_, api) = shop.user();
    api.get("/v1/cart")
        .await
        .expect_problem(503, "DEPENDENCY_UNAVAILABLE");
    api.get("/health/ready").await.expect(503);
    api.get("/health/live").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_never_a_strangers() {
    let shop = Shop::open().await;
    let strangers = TestKeys::generate();
    let (_, token) = strangers.new_user("cart", &[Role::Customer]);
    shop.api
        .with_token(token)
        .get("/v1/cart")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
}
