//! The service under test with its stores, its neighbours and its buyers.

use std::sync::{Arc, Mutex};

use ferrocart_config::ExposeSecret;
use ferrocart_failpoint::{Action, Failpoints, Plan, Point};
use ferrocart_http_kit::Role;
use ferrocart_order::{Application, Settings};
use ferrocart_test_kit::{Answer, Api, TestEnv, eventually};
use ferrocart_types::{SystemClock, SystemIds};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{World, fresh};

pub(crate) struct Shop {
    pub(crate) env: TestEnv,
    pub(crate) world: World,
    pub(crate) api: Api,
    failpoints: Failpoints,
    pub(crate) pool: PgPool,
    settings: Settings,
    cancel: CancellationToken,
    serving: Mutex<Option<JoinHandle<anyhow::Result<()>>>>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Someone with a cart.
#[derive(Clone)]
pub(crate) struct Buyer {
    pub(crate) id: Uuid,
    pub(crate) cart: String,
    pub(crate) api: Api,
}

impl Shop {
    /// Without a broker, which is enough for most tests: checkouts need none, and the broker is spared
    /// fifty partitions a test.
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// With settings that are quick to lose patience, changed by the test.
    pub(crate) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::open_with_kafka(|settings| {
            "127.0.0.1:9".clone_into(&mut settings.kafka.kafka_brokers);
            change(settings);
        })
        .await
    }

    /// With the broker, for tests of events.
    pub(crate) async fn open_with_kafka(change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("order").await;
        let world = World::start();
        let mut settings = settings(&env, &world);
        change(&mut settings);
        let failpoints = Failpoints::seeded(0);
        let cancel = CancellationToken::new();
        let (port, serving) = serve(settings.clone(), failpoints.clone(), &cancel).await;
        let pool = PgPool::connect(env.pg.database_url.expose_secret())
            .await
            .unwrap();
        Self {
            env,
            world,
            api: Api::new(port),
            failpoints,
            pool,
            settings,
            cancel,
            serving: Mutex::new(Some(serving)),
        }
    }

    /// Lets the next driver that comes there stop dead, as `kill -9` would.
    pub(crate) fn stop_at(&self, point: Point) {
        self.failpoints.arm(Plan::once(point, Action::Stop));
    }

    pub(crate) fn has_stopped_at(&self, point: Point) -> bool {
        !self.failpoints.is_armed(point)
    }

    /// Another process of the same service, on the same database.
    pub(crate) async fn replica(&self, change: impl FnOnce(&mut Settings)) -> Api {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Api::new(serve(settings, Failpoints::seeded(0), &self.cancel).await.0)
    }

    pub(crate) fn customer(&self) -> Buyer {
        let (id, token) = self.env.keys.new_user("order", &[Role::Customer]);
        let id = id.as_uuid();
        Buyer {
            id,
            cart: format!("user:{id}"),
            api: self.api.with_token(token),
        }
    }

    pub(crate) fn guest(&self) -> Buyer {
        let guest = ferrocart_http_kit::UserIdentity {
            user_id: fresh().into(),
            roles: vec![Role::Guest],
            email: None,
            guest_session: None,
        };
        let token = self.env.keys.user_token("order", &guest);
        let id = guest.user_id.as_uuid();
        Buyer {
            id,
            cart: format!("guest:{id}"),
            api: self.api.with_token(token),
        }
    }

    pub(crate) fn staff(&self, role: Role) -> Api {
        let (_, token) = self.env.keys.new_user("order", &[role]);
        self.api.with_token(token)
    }

    /// A customer whose cart holds one unit of a SKU of which there are ten.
    pub(crate) fn customer_with_cart(&self) -> (Buyer, Uuid) {
        let (buyer, sku) = (self.customer(), self.world.sku(1_999, 10));
        self.fill(&buyer, &[(sku, 1)]);
        (buyer, sku)
    }

    /// Puts items into a cart, at the prices of now.
    pub(crate) fn fill(&self, buyer: &Buyer, items: &[(Uuid, i64)]) {
        let mut state = self.world.lock();
        let items = items
            .iter()
            .map(|(sku, quantity)| {
                let price = json!({ "amount_minor": state.prices[sku], "currency": "USD" });
                json!({ "sku_id": sku, "quantity": quantity, "unit_price": price })
            })
            .collect();
        state.carts.insert(buyer.cart.clone(), (items, None));
    }

    /// A confirmed order, and its id. Where a test has shortened the deadline, the answer may come before the end.
    pub(crate) async fn confirmed(&self) -> (Buyer, Uuid, String) {
        let (buyer, sku) = self.customer_with_cart();
        let order = buyer.checkout("pm_card_visa").await;
        assert!(matches!(order.status.as_u16(), 201 | 202), "{}", order.text);
        let id = id_of(&order);
        buyer.until(&id, "CONFIRMED").await;
        (buyer, sku, id)
    }

    /// Stops the service; its drivers come to the end of their steps.
    pub(crate) async fn stop(&self) {
        self.cancel.cancel();
        let serving = self.serving.lock().unwrap().take().unwrap();
        serving.await.unwrap().unwrap();
    }

    pub(crate) async fn unfinished_sagas(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM sagas WHERE state <> 'DONE'")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The saga log of an order, oldest first: `STEP EVENT`.
    pub(crate) async fn log(&self, order: &str) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT saga_log.step || ' ' || event FROM saga_log JOIN sagas USING (saga_id) WHERE order_id = $1 ORDER BY id",
        )
        .bind(order.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

impl Buyer {
    pub(crate) async fn checkout(&self, method: &str) -> Answer {
        self.checkout_with(&fresh().to_string(), &body(method)).await
    }

    pub(crate) async fn checkout_with(&self, key: &str, body: &Value) -> Answer {
        self.api.post_once("/v1/checkout", key, body).await
    }

    pub(crate) async fn order(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/orders/{id}")).await.expect(200).json
    }

    /// Waits for the order to come to a status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} becomes {status}"), || async {
            let order = self.order(id).await;
            (order["status"] == status).then_some(order)
        })
        .await
    }
}

pub(crate) fn body(method: &str) -> Value {
    json!({
        "payment_method": method,
        "shipping_address": {
            "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London",
            "postal_code": "SW1Y 4JH", "country": "GB",
        },
    })
}

pub(crate) fn id_of(answer: &Answer) -> String {
    answer.json["order_id"].as_str().expect("an order id").to_owned()
}

pub(crate) fn statuses(order: &Value) -> Vec<&str> {
    order["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["status"].as_str().unwrap())
        .collect()
}

fn settings(env: &TestEnv, world: &World) -> Settings {
    let defaults = include_str!("../../config.default.toml");
    let mut settings: Settings = ferrocart_config::load_from(defaults, |_| None).unwrap();
    settings.http = env.http();
    settings.telemetry = env.telemetry();
    settings.auth = env.auth();
    settings.pg = env.pg.clone();
    settings.kafka = env.kafka.clone();
    settings.redis = env.redis.clone();
    for url in [
        &mut settings.neighbours.catalog_url,
        &mut settings.neighbours.cart_url,
        &mut settings.neighbours.inventory_url,
        &mut settings.neighbours.payment_url,
    ] {
        *url = world.url();
    }
    settings.neighbours.call_timeout_ms = 500;
    settings.neighbours.payment_timeout_ms = 500;
    settings.saga.saga_lease_ms = 1_500;
    settings.saga.saga_poll_ms = 50;
    settings.saga.saga_tries_max = 4;
    settings.saga.saga_backoff_min_ms = 10;
    settings.saga.saga_backoff_max_ms = 50;
    settings.saga.saga_stuck_tries = 6;
    settings
}

async fn serve(
    settings: Settings,
    failpoints: Failpoints,
    cancel: &CancellationToken,
) -> (u16, JoinHandle<anyhow::Result<()>>) {
    let application =
        Application::build_with_failpoints(settings, Arc::new(SystemClock), Arc::new(SystemIds), failpoints)
            .await
            .unwrap();
    let port = application.port().unwrap();
    let serving = ferrocart_telemetry::spawn("service", application.run_until_stopped(cancel.clone()));
    (port, serving)
}
