//! The service under test with a provider of its own.

use std::sync::Arc;

use ferrocart_config::SecretString;
use ferrocart_http_kit::Role;
use ferrocart_payment::app::Payments;
use ferrocart_payment::config::{PspSettings, ReconciliationSettings, Settings};
use ferrocart_payment::startup::Application;
use ferrocart_psp_sandbox::{Options, Running, Sandbox, WebhookOptions};
use ferrocart_test_kit::{Answer, Api, TestEnv};
use ferrocart_types::{Clock, IdGen, SystemClock, SystemIds};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const KEY: &str = "sk_test_payment";
pub(crate) const SECRET: &str = "whsec_payment";
pub(crate) const AMOUNT: i64 = 10_000;

pub(crate) struct Desk {
    pub(crate) env: TestEnv,
    /// Calls as the order service.
    pub(crate) api: Api,
    base_url: String,
    pub(crate) psp: Psp,
    pub(crate) payments: Arc<Payments>,
    cancel: CancellationToken,
    _sandbox: Running,
    _folder: tempfile::TempDir,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(crate) fn fresh() -> Uuid {
    SystemIds.next()
}

pub(crate) fn usd(amount_minor: i64) -> Value {
    json!({ "amount_minor": amount_minor, "currency": "USD" })
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::start(false, |_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start(false, change).await
    }

    /// The provider sends its webhooks to the service.
    pub(crate) async fn open_with_webhooks() -> Self {
        Self::start(true, |_| ()).await
    }

    async fn start(webhooks: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("payment").await;
        let folder = tempfile::tempdir().unwrap();
        let mut http = env.http();
        let mut options = Options::new(folder.path(), KEY);
        if webhooks {
            http.port = free_port();
            options.webhook = Some(WebhookOptions {
                url: format!("http://127.0.0.1:{}/v1/payments/webhook", http.port),
                secret: SECRET.to_owned(),
            });
        }
        let sandbox = Sandbox::start(options).await.unwrap();
        let mut settings = Settings {
            http,
            telemetry: env.telemetry(),
            auth: env.auth(),
            pg: env.pg.clone(),
            kafka: env.kafka.clone(),
            psp: psp_settings(&sandbox.base_url),
            reconciliation: ReconciliationSettings {
                reconciliation_interval_ms: 86_400_000,
                reconciliation_window_hours: 192,
                reconciliation_pause_ms: 1,
            },
            recovery_interval_ms: 60_000,
        };
        change(&mut settings);
        let cancel = CancellationToken::new();
        let application = Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds))
            .await
            .unwrap();
        let token = env.keys.service_token("order", "payment");
        let port = application.port().unwrap();
        let api = Api::new(port).with_token(token);
        let payments = application.payments();
        ferrocart_telemetry::spawn("payment", application.run_until_stopped(cancel.clone()));
        Self {
            psp: Psp::at(&sandbox.base_url),
            base_url: format!("http://127.0.0.1:{port}"),
            env,
            api,
            payments,
            cancel,
            _sandbox: sandbox,
            _folder: folder,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.payments.pool
    }

    pub(crate) fn as_user(&self, roles: &[Role]) -> (Uuid, Api) {
        let (id, token) = self.env.keys.new_user("payment", roles);
        (id.as_uuid(), self.api.with_token(token))
    }

    pub(crate) async fn authorize(&self, order: Uuid, method: &str) -> Answer {
        self.authorize_as(&format!("authorize:{order}"), order, method)
            .await
    }

    pub(crate) async fn authorize_as(&self, key: &str, order: Uuid, method: &str) -> Answer {
        let body = json!({
            "order_id": order, "customer_id": Uuid::from_u128(7), "amount": usd(AMOUNT), "payment_method": method,
        });
        self.api.post_once("/internal/v1/payments", key, body).await
    }

    /// An order whose payment is authorized.
    pub(crate) async fn authorized(&self, method: &str) -> Uuid {
        let order = fresh();
        self.authorize(order, method).await.expect(201);
        order
    }

    /// An order whose payment is captured.
    pub(crate) async fn captured(&self) -> Uuid {
        let order = self.authorized("pm_card_visa").await;
        self.act(order, "capture", json!({})).await.expect(200);
        order
    }

    pub(crate) async fn act(&self, order: Uuid, action: &str, body: Value) -> Answer {
        self.act_as(&format!("{action}:{order}"), order, action, body)
            .await
    }

    pub(crate) async fn act_as(&self, key: &str, order: Uuid, action: &str, body: Value) -> Answer {
        let path = format!("/internal/v1/payments/by-order/{order}/{action}");
        self.api.post_once(&path, key, body).await
    }

    pub(crate) async fn get(&self, order: Uuid) -> Value {
        let path = format!("/internal/v1/payments/by-order/{order}");
        self.api.get(&path).await.expect(200).json
    }

    pub(crate) async fn status(&self, order: Uuid) -> String {
        self.get(order).await["status"].as_str().unwrap().to_owned()
    }

    /// Sends a webhook as the provider would, signed at `at`.
    pub(crate) async fn deliver(&self, body: &str, at: i64) -> u16 {
        self.deliver_signed(body, &signature(SECRET, at, body)).await
    }

    pub(crate) async fn deliver_signed(&self, body: &str, signature: &str) -> u16 {
        let response = reqwest::Client::new()
            .post(format!("{}/v1/payments/webhook", self.base_url))
            .header("stripe-signature", signature)
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        response.status().as_u16()
    }

    /// The books balance, and agree with the payments and with the provider's.
    pub(crate) async fn assert_books(&self) {
        let unbalanced: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM ledger_entries GROUP BY payment_id, sequence, currency
             HAVING sum(amount_minor) <> 0) AS x",
        )
        .fetch_one(self.pool())
        .await
        .unwrap();
        assert_eq!(unbalanced, 0, "transactions that do not sum to zero");
        let rows: Vec<(Uuid, String, i64, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT p.order_id, p.status, p.amount_minor, p.captured_minor, p.refunded_minor,
               coalesce(sum(l.amount_minor) FILTER (WHERE l.account = 'HELD'), 0)::bigint,
               coalesce(sum(l.amount_minor) FILTER (WHERE l.account = 'PROVIDER_RECEIVABLE'), 0)::bigint
             FROM payments p LEFT JOIN ledger_entries l USING (payment_id) GROUP BY p.payment_id",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        let theirs = self.psp.ledger().await;
        for (order, status, amount, captured, refunded, held, receivable) in rows {
            let expected = if status == "AUTHORIZED" { amount } else { 0 };
            assert_eq!(held, expected, "{order} {status}: held");
            assert_eq!(receivable, captured - refunded, "{order} {status}: receivable");
            let (their_captured, their_refunded) = theirs.money_of(order);
            assert_eq!(
                (captured, refunded),
                (their_captured, their_refunded),
                "{order}: the provider's books"
            );
        }
    }
}

fn psp_settings(url: &str) -> PspSettings {
    PspSettings {
        psp_url: url.to_owned(),
        psp_api_key: SecretString::from(KEY),
        psp_webhook_secret: SecretString::from(SECRET),
        psp_publishable_key: ferrocart_psp_sandbox::PUBLISHABLE_KEY.to_owned(),
        psp_return_url: "http://127.0.0.1/orders/{order_id}".to_owned(),
        psp_timeout_ms: 8_000,
        psp_resolve_timeout_ms: 2_000,
        psp_concurrency_max: 64,
        psp_queue_timeout_ms: 1_000,
        psp_breaker_failures_max: 5,
        psp_breaker_open_ms: 500,
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn now() -> i64 {
    SystemClock.now().timestamp()
}

pub(crate) fn signature(secret: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// The provider, seen from its own side.
pub(crate) struct Psp {
    http: reqwest::Client,
    base_url: String,
}

/// All that the provider holds.
pub(crate) struct PspLedger(Vec<Value>);

impl Psp {
    fn at(base_url: &str) -> Self {
        Self {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            base_url: base_url.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.base_url));
        let response = request.bearer_auth(KEY).send().await.unwrap();
        assert!(response.status().is_success(), "{path}");
        response.text().await.unwrap()
    }

    pub(crate) async fn ledger(&self) -> PspLedger {
        let text = self.get("/sandbox/ledger").await;
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        PspLedger(lines.collect())
    }

    pub(crate) async fn faults(&self, change: Value) {
        let request = self.http.post(format!("{}/sandbox/faults", self.base_url));
        let response = request.bearer_auth(KEY).json(&change).send().await.unwrap();
        assert!(response.status().is_success());
    }

    /// How often the provider was asked: reads and writes.
    pub(crate) async fn served(&self) -> (u64, u64) {
        let state: Value = serde_json::from_str(&self.get("/sandbox/faults").await).unwrap();
        let of = |kind: &str| state["served"][kind].as_u64().unwrap();
        (of("reads"), of("writes"))
    }

    pub(crate) async fn webhooks_delivered(&self) {
        ferrocart_test_kit::eventually("all webhooks are taken", || async {
            let state: Value = serde_json::from_str(&self.get("/sandbox/faults").await).unwrap();
            (state["webhooks_waiting"] == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        self.post_as(KEY, path, form).await.1
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base_url));
        let response = request.bearer_auth(key).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Falsifies the provider's books.
    pub(crate) async fn tamper(&self, intent: &str, with: Value) {
        let request = self.http.post(format!("{}/sandbox/tamper", self.base_url));
        let body = json!({ "intent": intent, "with": with });
        let response = request.bearer_auth(KEY).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 204);
    }

    /// The customer answers the bank.
    pub(crate) async fn authenticate(&self, intent: &str, result: &str) {
        let url = format!("{}/sandbox/3ds/{intent}", self.base_url);
        let response = self.http.post(url).form(&[("result", result)]).send().await;
        let status = response.unwrap().status();
        assert!(status.is_success() || status.is_redirection(), "{status}");
    }

    /// The events of an order's payment as the provider would send them, the oldest first.
    pub(crate) async fn events_of(&self, intent: &str) -> Vec<Value> {
        let text = self.get("/v1/events?limit=100").await;
        let list: Value = serde_json::from_str(&text).unwrap();
        let mut events: Vec<Value> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| {
                let object = &event["data"]["object"];
                object["id"] == intent || object["payment_intent"] == intent
            })
            .cloned()
            .collect();
        events.reverse();
        events
    }
}

impl PspLedger {
    pub(crate) fn intents_of(&self, order: Uuid) -> Vec<&Value> {
        let order = order.to_string();
        self.0
            .iter()
            .filter(|line| line["object"] == "payment_intent" && line["metadata"]["order_id"] == order)
            .collect()
    }

    pub(crate) fn intent_of(&self, order: Uuid) -> &Value {
        let intents = self.intents_of(order);
        assert_eq!(intents.len(), 1, "intents of {order}: {intents:?}");
        intents[0]
    }

    pub(crate) fn intent_id(&self, order: Uuid) -> String {
        self.intent_of(order)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn refunds_of(&self, order: Uuid) -> Vec<&Value> {
        let intent = &self.intent_of(order)["id"];
        self.0
            .iter()
            .filter(|line| line["object"] == "refund" && line["payment_intent"] == *intent)
            .collect()
    }

    /// What was captured and refunded for the order in all.
    fn money_of(&self, order: Uuid) -> (i64, i64) {
        let intents: Vec<&Value> = self
            .intents_of(order)
            .into_iter()
            .map(|intent| &intent["id"])
            .collect();
        let charges = self
            .0
            .iter()
            .filter(|line| line["object"] == "charge" && intents.contains(&&line["payment_intent"]));
        charges.fold((0, 0), |(captured, refunded), charge| {
            (
                captured + charge["amount_captured"].as_i64().unwrap(),
                refunded + refunded_of(charge),
            )
        })
    }
}

/// What of the capture went back; the provider counts what it let go as well.
fn refunded_of(charge: &Value) -> i64 {
    let of = |field: &str| charge[field].as_i64().unwrap();
    match of("amount_captured") {
        0 => 0,
        captured => of("amount_refunded") - (of("amount") - captured),
    }
}

/// Long enough for a test, short enough to wait for.
pub(crate) fn hasty(settings: &mut Settings) {
    settings.psp.psp_timeout_ms = 400;
    settings.psp.psp_queue_timeout_ms = 100;
    settings.psp.psp_resolve_timeout_ms = 400;
    // Timeouts are provoked here; the breaker has tests of its own.
    settings.psp.psp_breaker_failures_max = 1_000;
}
