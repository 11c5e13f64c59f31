//! A running catalog with its own database, topics and keys.

use std::sync::Arc;

use ferrocart_catalog::{Application, CacheSettings, Settings};
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Api, TestEnv};
use ferrocart_types::{SharedClock, SystemClock, SystemIds, UserId};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing listens there: connections are refused at once.
pub(crate) const CLOSED_REDIS: &str = "redis://127.0.0.1:1/0";

pub(crate) struct Catalog {
    pub(crate) env: Arc<TestEnv>,
    /// Without a token.
    pub(crate) api: Api,
    pub(crate) port: u16,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Catalog {
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(TestEnv::new("catalog").await), |_| {}).await
    }

    pub(crate) async fn start_in(env: Arc<TestEnv>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(env, Arc::new(SystemClock), change).await
    }

    pub(crate) async fn start_at(
        env: Arc<TestEnv>,
        clock: SharedClock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings {
            http: env.http(),
            telemetry: env.telemetry(),
            auth: env.auth(),
            pg: env.pg.clone(),
            redis: env.redis.clone(),
            kafka: env.kafka.clone(),
            cache: CacheSettings {
                cache_local_ttl_ms: 1_000,
                cache_bytes_max: 64 * 1024 * 1024,
                cache_shared_ttl_seconds: 3_600,
                read_deadline_ms: 1_500,
            },
            import_concurrency_max: 4,
            import_idle_timeout_ms: 30_000,
            export_concurrency_max: 4,
            reviews_need_approval: false,
            image_url_template: String::new(),
            image_widths: String::new(),
        };
        change(&mut settings);
        let application = Application::build(settings, clock, Arc::new(SystemIds))
            .await
            .unwrap();
        let port = application.port().unwrap();
        let stop = CancellationToken::new();
        let running = ferrocart_telemetry::spawn("catalog", application.run_until_stopped(stop.clone()));
        Self {
            api: Api::new(port),
            env,
            port,
            stop,
            running: Some(running),
        }
    }

    /// A new user with the role, and a client that speaks as that user.
    pub(crate) fn user(&self, role: Role) -> (UserId, Api) {
        let (id, token) = self.env.keys.new_user("catalog", &[role]);
        (id, self.api.with_token(token))
    }

    pub(crate) fn merchant(&self) -> Api {
        self.user(Role::Merchant).1
    }

    pub(crate) fn anonymous(&self) -> Api {
        self.api.with_token(self.env.keys.anonymous_token("catalog"))
    }

    pub(crate) async fn pool(&self) -> PgPool {
        use ferrocart_config::ExposeSecret;
        PgPoolOptions::new()
            .max_connections(2)
            .connect(self.env.pg.database_url.expose_secret())
            .await
            .unwrap()
    }

    /// Stops as on SIGTERM, and says how it went.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap().unwrap();
        }
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn category(merchant: &Api, slug: &str, parent: Option<&str>) -> String {
    let mut body = json!({"slug": slug, "name": slug});
    if let Some(parent) = parent {
        body["parent_id"] = json!(parent);
    }
    let answer = merchant.post("/v1/categories", body).await.expect(201);
    answer.json["category_id"].as_str().unwrap().to_owned()
}

/// A product with one variant.
pub(crate) fn product(handle: &str, category: &str) -> Value {
    json!({
        "handle": handle,
        "title": format!("Product {handle}"),
        "description": "Grips on wet rock.\nAlso on dry one.",
        "brand": "Alpina",
        "category": category,
        "attributes": {"color": "blue", "weight_g": 250.5, "waterproof": true, "lugs": 42},
        "images": [{"url": "https://images.example.com/1.jpg", "alt": "From the side"}],
        "variants": [{
            "sku": format!("{}-42", handle.to_uppercase()),
            "options": {"size": "42"},
            "price": {"amount_minor": 9_900, "currency": "USD"},
        }],
    })
}

pub(crate) fn id_of(product: &Value) -> String {
    product["product_id"].as_str().unwrap().to_owned()
}
