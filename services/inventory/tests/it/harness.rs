use std::sync::Arc;
use std::time::Duration;

use ferrocart_http_kit::{Background, Role};
use ferrocart_inventory::admission::Admission;
use ferrocart_inventory::app::Actor;
use ferrocart_inventory::batcher::{BatchError, Batcher, Reserve, Tools};
use ferrocart_inventory::domain::{Ask, HoldSeconds, Lines, Verdict};
use ferrocart_inventory::{AdmissionSettings, Application, BatcherSettings, SaleSettings, Settings};
use ferrocart_kafka_kit::RelayHandle;
use ferrocart_test_kit::{Answer, Api, TestEnv};
use ferrocart_types::{
    Clock, IdGen, MockClock, OrderId, Quantity, SharedClock, SkuId, SystemClock, SystemIds, UserId,
};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::catalog::PlayCatalog;

/// The service on a port of its own, with a clock that the test moves.
pub(crate) struct Shop {
    pub(crate) env: TestEnv,
    /// As the order service.
    pub(crate) api: Api,
    pub(crate) merchant: Api,
    pub(crate) merchant_id: UserId,
    pub(crate) catalog: PlayCatalog,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) pool: PgPool,
    pub(crate) admission: Admission,
    settings: Settings,
    port: u16,
    stop: CancellationToken,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn fresh() -> Uuid {
    SystemIds.next()
}

pub(crate) fn default_batcher() -> BatcherSettings {
    BatcherSettings {
        lanes: 2,
        batch_max: 512,
        lane_queue_max: 8_192,
        answer_timeout_ms: 15_000,
    }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(default_batcher()).await
    }

    pub(crate) async fn open_with(batcher: BatcherSettings) -> Self {
        Self::open_set(|settings| settings.batcher = batcher).await
    }

    pub(crate) async fn open_set(change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("inventory").await;
        let (catalog, catalog_port) = PlayCatalog::open(&env);
        let mut settings = Settings {
            http: env.http(),
            telemetry: env.telemetry(),
            auth: env.auth(),
            pg: env.pg.clone(),
            kafka: env.kafka.clone(),
            batcher: default_batcher(),
            redis: env.redis.clone(),
            admission: AdmissionSettings {
                redis_cluster: false,
                admission_refresh_ms: 50,
                admission_compare_ms: 100,
                admission_stale_ms: 1_000,
            },
            catalog_url: format!("http://127.0.0.1:{catalog_port}"),
            catalog_timeout_ms: 5_000,
            hold_seconds_default: 900,
            customer_hold_seconds: 120,
            sweep_interval_ms: 50,
            sales: SaleSettings {
                waitlist_poll_ms: 50,
                waitlist_hold_seconds: 120,
                waitlist_patience_seconds: 3_600,
                streams_max: 100,
                streams_per_user_max: 3,
                stream_heartbeat_ms: 200,
            },
            stock_low_threshold: -1,
            reconcile_repair: true,
            reconcile_chunk_skus: 3,
            reconcile_rest_ms: 50,
        };
        change(&mut settings);
        let telemetry = ferrocart_telemetry::init("inventory", &settings.telemetry).expect("telemetry");
        // Flushing ends nothing that the next test needs, and there is nothing to flush.
        std::mem::forget(telemetry);
        let pool = ferrocart_pg_kit::connect(&settings.pg, "inventory-test").expect("a pool");
        let clock = MockClock::at(SystemClock.now());
        let shared: SharedClock = clock.clone();
        let application = Application::build(settings.clone(), shared, Arc::new(SystemIds))
            .await
            .expect("the service");
        let port = application.port().expect("a port");
        let admission = application.admission();
        let stop = CancellationToken::new();
        ferrocart_telemetry::spawn("service", application.run_until_stopped(stop.clone()));
        let api = Api::new(port);
        let (merchant_id, token) = env.keys.new_user("inventory", &[Role::Merchant]);
        let merchant = api.with_token(token);
        Self {
            api: api.with_token(env.keys.service_token("order", "inventory")),
            merchant,
            merchant_id,
            catalog,
            clock,
            pool,
            admission,
            settings,
            port,
            stop,
            env,
        }
    }

    /// The service once more, on the same stores.
    pub(crate) async fn replica(&self) -> Replica {
        let clock: SharedClock = self.clock.clone();
        let application = Application::build(self.settings.clone(), clock, Arc::new(SystemIds))
            .await
            .expect("the service");
        let api = Api::new(application.port().expect("a port"));
        let admission = application.admission();
        let stop = CancellationToken::new();
        ferrocart_telemetry::spawn("replica", application.run_until_stopped(stop.clone()));
        Replica {
            api: api.with_token(self.env.keys.service_token("order", "inventory")),
            admission,
            stop,
        }
    }

    /// Ends the service; its stores stay.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let url = format!("http://127.0.0.1:{}/health/live", self.port);
        let gone = async { while reqwest::get(&url).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, gone).await.expect("an end");
    }

    pub(crate) async fn sku(&self, on_hand: i64) -> Uuid {
        let sku = self.listed();
        let body = json!({"sku_id": sku, "on_hand": on_hand});
        self.merchant
            .post_once("/v1/inventory", &sku.to_string(), body)
            .await
            .expect(201);
        sku
    }

    /// A SKU that the merchant has in the catalog, without stock.
    pub(crate) fn listed(&self) -> Uuid {
        let sku = fresh();
        self.catalog.list(sku, self.merchant_id, "active");
        sku
    }

    /// A user of their own, with the roles.
    pub(crate) fn user(&self, roles: &[Role]) -> (UserId, Api) {
        let (id, token) = self.env.keys.new_user("inventory", roles);
        (id, self.api.with_token(token))
    }

    pub(crate) async fn stock(&self, sku: Uuid) -> Value {
        self.api
            .get(&format!("/v1/inventory/{sku}"))
            .await
            .expect(200)
            .json
    }

    pub(crate) async fn reserve(&self, order: Uuid, items: &[(Uuid, i64)]) -> Answer {
        self.api
            .post("/v1/inventory/reserve", reserve_body(order, items))
            .await
    }

    /// Reserves and answers the reservation's id.
    pub(crate) async fn reserved(&self, items: &[(Uuid, i64)]) -> String {
        let answer = self.reserve(fresh(), items).await.expect(201);
        text(&answer.json["reservation_id"])
    }

    pub(crate) async fn command(&self, command: &str, reservation: &str) -> Answer {
        let body = json!({"reservation_id": reservation});
        self.api.post(&format!("/v1/inventory/{command}"), body).await
    }

    pub(crate) async fn reservation(&self, reservation: &str) -> Value {
        self.api
            .get(&format!("/v1/inventory/reservations/{reservation}"))
            .await
            .expect(200)
            .json
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(chrono::TimeDelta::seconds(seconds));
    }

    /// Counters, ledger and open reservations tell the same, for every SKU.
    pub(crate) async fn audit(&self) {
        let differing: Vec<(Uuid, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT s.sku_id, s.on_hand, l.on_hand, s.reserved, l.reserved
             FROM stock s LEFT JOIN stock_from_ledger l USING (sku_id)
             WHERE (s.on_hand, s.reserved) IS DISTINCT FROM (l.on_hand, l.reserved) OR l.version > s.version",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the audit of the ledger");
        assert_eq!(differing, [], "counters and ledger differ");
        let open: Vec<(Uuid, i64, i64)> = sqlx::query_as(
            "SELECT s.sku_id, s.reserved, COALESCE(o.units, 0)
             FROM stock s LEFT JOIN (
                 SELECT l.sku_id, sum(l.units)::bigint AS units
                 FROM reservations r, UNNEST(r.sku_ids, r.quantities) AS l(sku_id, units)
                 WHERE r.status IN ('RESERVED', 'CONFIRMED') GROUP BY l.sku_id) o USING (sku_id)
             WHERE s.reserved <> COALESCE(o.units, 0)",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the audit of the reservations");
        assert_eq!(open, [], "counters and open reservations differ");
        let lines: Vec<(Uuid, i64, i64)> = sqlx::query_as(
            "SELECT s.sku_id, s.waiting, COALESCE(w.units, 0)
             FROM stock s LEFT JOIN (SELECT sku_id, sum(units)::bigint AS units FROM waitlist
                                     WHERE status = 'WAITING' GROUP BY sku_id) w USING (sku_id)
             WHERE s.waiting <> COALESCE(w.units, 0)",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the audit of the lines");
        assert_eq!(lines, [], "stock and waitlist differ");
        let bought: Vec<(Uuid, i64, i64)> = sqlx::query_as(
            "SELECT s.sale_id, COALESCE(p.units, 0), COALESCE(o.units, 0)
             FROM stock s
             LEFT JOIN (SELECT sale_id, sum(units)::bigint AS units FROM flash_sale_purchases GROUP BY sale_id) p
                 USING (sale_id)
             LEFT JOIN (SELECT l.sku_id, sum(l.units)::bigint AS units
                        FROM reservations r, UNNEST(r.sku_ids, r.quantities) AS l(sku_id, units)
                        WHERE r.status <> 'RELEASED' AND r.buyer_id IS NOT NULL GROUP BY l.sku_id) o
                 ON o.sku_id = s.sku_id
             WHERE s.sale_id IS NOT NULL AND COALESCE(p.units, 0) <> COALESCE(o.units, 0)",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the audit of the limits");
        assert_eq!(bought, [], "what buyers have and what counts differ");
    }

    /// A flash sale of so many units, live.
    pub(crate) async fn sale(&self, on_hand: i64, limit: i64, waitlist: i64) -> (Uuid, Uuid) {
        let sku = self.sku(on_hand).await;
        let sale = self.drafted(sku, limit, waitlist).await;
        self.command_sale(sale, "preload").await.expect(200);
        self.command_sale(sale, "start").await.expect(200);
        (sku, sale)
    }

    pub(crate) async fn drafted(&self, sku: Uuid, limit: i64, waitlist: i64) -> Uuid {
        let body = json!({"sku_id": sku, "name": "a sale", "units_per_buyer_max": limit,
                          "waitlist_units_max": waitlist});
        let made = self
            .merchant
            .post_once("/v1/flash-sales", &fresh().to_string(), body)
            .await;
        text(&made.expect(201).json["sale_id"]).parse().expect("an id")
    }

    pub(crate) async fn command_sale(&self, sale: Uuid, command: &str) -> Answer {
        let path = format!("/v1/flash-sales/{sale}/{command}");
        self.merchant.post(&path, json!({})).await
    }

    pub(crate) async fn count_reservations(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM reservations")
            .fetch_one(&self.pool)
            .await
            .expect("a count")
    }

    /// A batcher beside the service's own, on the same database.
    pub(crate) fn batcher(&self, settings: &BatcherSettings) -> OwnBatcher {
        self.batcher_at(settings, &self.pool.connect_options())
    }

    pub(crate) fn batcher_at(&self, settings: &BatcherSettings, options: &PgConnectOptions) -> OwnBatcher {
        self.batcher_with(settings, options, Admission::off())
    }

    /// A batcher that asks the counters as the service's own does.
    pub(crate) fn admitting_batcher(&self) -> OwnBatcher {
        let options = self.pool.connect_options();
        self.batcher_with(&default_batcher(), &options, self.admission.clone())
    }

    fn batcher_with(
        &self,
        settings: &BatcherSettings,
        options: &PgConnectOptions,
        admission: Admission,
    ) -> OwnBatcher {
        let stop = CancellationToken::new();
        let mut background = Background::new();
        let tools = Tools {
            clock: self.clock.clone(),
            ids: Arc::new(SystemIds),
            relay: RelayHandle::default(),
            admission,
            waiters: ferrocart_inventory::app::Waiters::default(),
            reservations: ferrocart_inventory::cache::ReservationCache::off(),
            stock_low_threshold: -1,
        };
        let batcher = Batcher::start(settings, options, &tools, &mut background, &stop);
        let lanes = ferrocart_telemetry::spawn("lanes", background.run(stop.clone()));
        OwnBatcher { batcher, lanes, stop }
    }

    pub(crate) fn ask(&self, order: Uuid, items: &[(Uuid, i64)]) -> Reserve {
        let lines: Vec<_> = items
            .iter()
            .map(|(sku, units)| (SkuId(*sku), Quantity::new(*units).expect("a quantity")))
            .collect();
        Reserve {
            ask: Ask {
                buyer: None,
                order_id: OrderId(order),
                lines: Lines::sum_up(&lines).expect("lines"),
                expires_at: self.clock.now() + HoldSeconds::new(900).expect("a hold").as_delta(),
            },
            actor: test_actor(),
        }
    }
}

pub(crate) fn test_actor() -> Actor {
    Actor {
        name: "test".to_owned(),
        traceparent: None,
    }
}

pub(crate) struct Replica {
    /// As the order service.
    pub(crate) api: Api,
    pub(crate) admission: Admission,
    stop: CancellationToken,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) struct OwnBatcher {
    pub(crate) batcher: Batcher,
    lanes: tokio::task::JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Drop for OwnBatcher {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl OwnBatcher {
    /// The lanes end wherever they are.
    pub(crate) fn kill(&self) {
        self.lanes.abort();
    }

    /// Reserves in a task of its own.
    pub(crate) fn submit(&self, request: Reserve) -> tokio::task::JoinHandle<Result<Verdict, BatchError>> {
        let batcher = self.batcher.clone();
        ferrocart_telemetry::spawn("reserve", async move { batcher.reserve(request).await })
    }
}

pub(crate) fn reserve_body(order: Uuid, items: &[(Uuid, i64)]) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|(sku, quantity)| json!({"sku_id": sku, "quantity": quantity}))
        .collect();
    json!({"order_id": order, "items": items})
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// How many backends wait for a lock in this database: the lanes that are held up.
pub(crate) async fn waiting_backends(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .fetch_one(pool)
    .await
    .expect("pg_stat_activity")
}

/// Holds a SKU's row, so that whoever wants it waits.
pub(crate) async fn hold_row(pool: &PgPool, sku: Uuid) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = pool.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM stock WHERE sku_id = $1 FOR UPDATE")
        .bind(sku)
        .execute(&mut *held)
        .await
        .expect("the row");
    held
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
