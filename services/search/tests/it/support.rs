use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use ferrocart_contracts::v1::{self, ProductDeleted, ProductStatus, ProductUpserted, StockUpdated};
use ferrocart_contracts::{Envelope, Event, timestamp_to_proto};
use ferrocart_http_kit::Role;
use ferrocart_search::{Application, Settings};
use ferrocart_test_kit::{Answer, Api, TestEnv, eventually};
use ferrocart_types::{Clock, EventId, IdGen, SystemClock, SystemIds, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) fn uuid() -> Uuid {
    SystemIds.next()
}

/// The service on a folder and topics of its own.
pub(crate) struct Shop {
    pub(crate) env: TestEnv,
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
    producer: FutureProducer,
    running: Option<Running>,
}

struct Running {
    port: u16,
    cancel: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("search").await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            http: env.http(),
            telemetry: env.telemetry(),
            auth: env.auth(),
            kafka: env.kafka.clone(),
            redis: env.redis.clone(),
            cache_ttl_seconds: 300,
            index_dir: folder.path().to_owned(),
            index_memory_bytes: 15_000_000,
            index_batch_max: 500,
            query_parallel_max: 4,
            query_wait_ms: 5_000,
            synonyms_file: std::path::PathBuf::new(),
            search_engine: crate::engine().await,
            search_engine_prefix: format!("{}-", uuid().simple()),
            search_engine_timeout_ms: 20_000,
        };
        change(&mut settings);
        ferrocart_kafka_kit::ensure_topics(&env.kafka, None)
            .await
            .unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &env.kafka.kafka_brokers)
            .set("acks", "all")
            .create()
            .unwrap();
        let mut shop = Self {
            env,
            folder,
            settings,
            producer,
            running: None,
        };
        shop.start().await;
        shop
    }

    pub(crate) async fn start(&mut self) {
        let application =
            Application::build(self.settings.clone(), Arc::new(SystemClock), Arc::new(SystemIds))
                .await
                .unwrap();
        let port = application.port().unwrap();
        let cancel = CancellationToken::new();
        let task = ferrocart_telemetry::spawn("search", application.run_until_stopped(cancel.clone()));
        self.running = Some(Running { port, cancel, task });
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.cancel.cancel();
        running.task.await.unwrap().unwrap();
    }

    pub(crate) fn anybody(&self) -> Api {
        Api::new(self.running.as_ref().unwrap().port)
    }

    pub(crate) fn api(&self) -> Api {
        self.anybody().with_token(self.env.keys.anonymous_token("search"))
    }

    pub(crate) fn admin(&self) -> Api {
        self.user(Role::Admin)
    }

    pub(crate) fn customer(&self) -> Api {
        self.user(Role::Customer)
    }

    fn user(&self, role: Role) -> Api {
        let (_, token) = self.env.keys.new_user("search", &[role]);
        self.anybody().with_token(token)
    }

    pub(crate) async fn search(&self, query: &str) -> Value {
        self.ask(query).await.expect(200).json
    }

    pub(crate) async fn ask(&self, query: &str) -> Answer {
        self.api().get(&format!("/v1/search?{query}")).await
    }

    pub(crate) async fn titles(&self, query: &str) -> Vec<String> {
        titles(&self.search(query).await)
    }

    pub(crate) async fn status(&self) -> Value {
        let api = self
            .anybody()
            .with_token(self.env.keys.service_token("gateway", "search"));
        api.get("/internal/v1/index").await.expect(200).json
    }

    /// Publishes to the first partition, so that events of different keys stay in order too.
    pub(crate) async fn publish<E: Event>(&self, event: &E) {
        let envelope = Envelope::new("test", EventId(uuid()), SystemClock.now(), event);
        let topic = format!("{}{}", self.env.kafka.kafka_topic_prefix, E::TOPIC);
        let mut headers = OwnedHeaders::new();
        for (key, value) in envelope.headers() {
            let value = Some(value.as_str());
            headers = headers.insert(Header { key, value });
        }
        let record = FutureRecord::to(&topic)
            .key(&envelope.subject)
            .payload(envelope.payload.as_ref())
            .partition(0)
            .headers(headers);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }

    pub(crate) async fn list(&self, product: &v1::Product) {
        let product = Some(product.clone());
        self.publish(&ProductUpserted { product }).await;
    }

    pub(crate) async fn delete(&self, product: &v1::Product, version: i64) {
        let product_id = product.product_id.clone();
        self.publish(&ProductDeleted { product_id, version }).await;
    }

    pub(crate) async fn stock(&self, sku_id: &str, available: i64, version: i64) {
        self.publish(&StockUpdated {
            sku_id: sku_id.to_owned(),
            on_hand: available,
            reserved: 0,
            available,
            version,
            reason: "SET".to_owned(),
        })
        .await;
    }

    /// Waits until all that was published before is applied: a marker that follows it on both topics has
    /// been seen and removed again.
    pub(crate) async fn settled(&self) {
        let word = format!("marker{}", uuid().simple());
        let marker = product(&word);
        self.stock(&marker.variants[0].sku_id, 1, 1).await;
        self.list(&marker).await;
        self.until(&format!("q={word}&in_stock=true"), 1).await;
        self.delete(&marker, 2).await;
        self.until(&format!("q={word}"), 0).await;
    }

    /// Waits until the search finds so many.
    pub(crate) async fn until(&self, query: &str, total: u64) -> Value {
        eventually(&format!("{query} to find {total}"), || async {
            let answer = self.search(query).await;
            (answer["total"] == total).then_some(answer)
        })
        .await
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.cancel.cancel();
        }
    }
}

pub(crate) fn titles(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| item["title"].as_str().unwrap().to_owned())
        .collect()
}

/// An active product with one variant and that title.
pub(crate) fn product(title: &str) -> v1::Product {
    let created = timestamp_to_proto(Timestamp::from_timestamp(1_750_000_000, 0).unwrap());
    v1::Product {
        product_id: uuid().to_string(),
        merchant_id: uuid().to_string(),
        handle: title.to_lowercase().replace(' ', "-"),
        title: title.to_owned(),
        description: String::new(),
        brand: "Acme".to_owned(),
        category_id: uuid().to_string(),
        category_path: vec!["things".to_owned()],
        attributes: [].into(),
        image_url: String::new(),
        variants: vec![variant(1_000)],
        rating_hundredths: 0,
        rating_count: 0,
        status: ProductStatus::Active.into(),
        version: 1,
        created_at: Some(created),
        updated_at: Some(created),
    }
}

pub(crate) fn variant(amount_minor: i64) -> v1::Variant {
    v1::Variant {
        sku_id: uuid().to_string(),
        sku: "SKU".to_owned(),
        options: [].into(),
        price: Some(v1::Money {
            amount_minor,
            currency: "USD".to_owned(),
        }),
    }
}

/// Every byte of it as `%xx`.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}
