use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ferrocart_contracts::v1::{self, Order, OrderLine};
use ferrocart_contracts::{Envelope, Event};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use ferrocart_notification::{
    Application, MailTransport, SenderSettings, Settings, SmsSettings, WebhookSettings,
};
use ferrocart_test_kit::{Api, TestEnv, eventually};
use ferrocart_types::{Clock, EventId, SystemClock, SystemIds};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::reader::Email;

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

pub(crate) const SEAL_KEY: &str = "c2VhbHMgdGhlIHNlY3JldHMgb2YgZW5kcG9pbnRzISE=";

/// A notification service that runs, and what a test needs around it.
pub(crate) struct Office {
    pub(crate) env: TestEnv,
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    pub(crate) pool: PgPool,
    mail: TempDir,
    replicas: Vec<Replica>,
}

struct Replica {
    cancel: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Office {
    fn drop(&mut self) {
        for replica in &self.replicas {
            replica.cancel.cancel();
        }
    }
}

impl Office {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn with_smtp(url: &str) -> Self {
        Self::open_with(|settings| {
            settings.mail_transport = MailTransport::Smtp;
            settings.smtp_url = url.to_owned().into();
        })
        .await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut office = Self::closed(change).await;
        office.api = office.start();
        office.ready().await;
        office
    }

    /// Everything but the service itself.
    pub(crate) async fn closed(change: impl FnOnce(&mut Settings)) -> Self {
        let env = TestEnv::new("notification").await;
        let mail = tempfile::tempdir().unwrap();
        let mut settings = settings(&env, &mail);
        change(&mut settings);
        ensure_topics(&env.kafka, None).await.unwrap();
        Self {
            pool: ferrocart_pg_kit::connect(&env.pg, "test").unwrap(),
            api: Api::new(0),
            env,
            settings,
            mail,
            replicas: Vec::new(),
        }
    }

    /// One more replica.
    pub(crate) fn start(&mut self) -> Api {
        let application =
            Application::build(&self.settings, Arc::new(SystemClock), Arc::new(SystemIds)).unwrap();
        let api = Api::new(application.port().unwrap());
        let cancel = CancellationToken::new();
        let ended = ferrocart_telemetry::spawn("replica", application.run_until_stopped(cancel.clone()));
        self.replicas.push(Replica { cancel, ended });
        api
    }

    pub(crate) async fn stop_all(&mut self) {
        for replica in self.replicas.drain(..) {
            replica.cancel.cancel();
            replica.ended.await.unwrap().unwrap();
        }
    }

    pub(crate) async fn ready(&self) {
        eventually("a ready service", || async {
            (self.api.get("/health/ready").await.status == 200).then_some(())
        })
        .await;
    }

    pub(crate) async fn publish(&self, envelope: &Envelope, topic: ferrocart_contracts::Topic) {
        publish(&self.env.kafka, envelope, topic).await;
    }

    /// Publishes an event as new; answers it, to be published again.
    pub(crate) async fn tell<E: Event>(&self, event: &E) -> Envelope {
        let envelope = envelope(event);
        self.publish(&envelope, E::TOPIC).await;
        envelope
    }

    /// All files of the mail folder, whatever they are called.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.mail.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with(".probe.tmp"))
            .collect();
        files.sort();
        files
    }

    /// Waits until the order has exactly so many rows, all of them in that state.
    pub(crate) async fn settled(&self, order: &str, status: &str, count: usize) -> Vec<Row> {
        eventually(&format!("{count} {status} of {order}"), || async {
            let rows = self.rows(order).await;
            (rows.len() == count && rows.iter().all(|row| row.status == status)).then_some(rows)
        })
        .await
    }

    pub(crate) async fn rows(&self, order: &str) -> Vec<Row> {
        sqlx::query_as(
            "SELECT notification_id, kind, channel, status, attempts, refusals, last_error, sent_at
             FROM notifications WHERE order_id = $1 ORDER BY notification_id",
        )
        .bind(order.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    pub(crate) fn raw(&self, row: &Row) -> Vec<u8> {
        std::fs::read(self.mail.path().join(format!("{}.eml", row.notification_id))).unwrap()
    }

    pub(crate) fn email(&self, row: &Row) -> Email {
        Email::parse(&self.raw(row))
    }

    pub(crate) fn mail_dir(&self) -> &std::path::Path {
        self.mail.path()
    }
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) notification_id: Uuid,
    pub(crate) kind: String,
    pub(crate) channel: String,
    pub(crate) status: String,
    pub(crate) attempts: i32,
    pub(crate) refusals: i32,
    pub(crate) last_error: Option<String>,
    pub(crate) sent_at: Option<ferrocart_types::Timestamp>,
}

fn settings(env: &TestEnv, mail: &TempDir) -> Settings {
    Settings {
        http: env.http(),
        telemetry: env.telemetry(),
        auth: env.auth(),
        pg: env.pg.clone(),
        kafka: env.kafka.clone(),
        mail_transport: MailTransport::File,
        mail_dir: mail.path().to_str().unwrap().to_owned(),
        smtp_url: String::new().into(),
        mail_from: "Ferrocart <shop@shop.test>".to_owned(),
        mail_timeout_ms: 2_000,
        locale_default: "en".to_owned(),
        link_base: "https://shop.test/".to_owned(),
        sender: SenderSettings {
            batch_max: 8,
            lease_ms: 4_000,
            poll_ms: 50,
            backoff_first_ms: 20,
            backoff_max_ms: 200,
            refusals_max: 4,
            give_up_after_hours: 1,
        },
        sms_auth_token: String::new().into(),
        sms: SmsSettings {
            url: String::new(),
            account_sid: String::new(),
            from: String::new(),
            prefixes: String::new(),
            timeout_ms: 1_000,
            sender: SenderSettings {
                batch_max: 8,
                lease_ms: 2_000,
                poll_ms: 50,
                backoff_first_ms: 20,
                backoff_max_ms: 200,
                refusals_max: 3,
                give_up_after_hours: 1,
            },
        },
        webhook_seal_keys: SEAL_KEY.to_owned().into(),
        webhooks: WebhookSettings {
            allow_loopback: true,
            under_way_max: 16,
            under_way_per_endpoint_max: 2,
            timeout_ms: 1_000,
            lease_ms: 4_000,
            poll_ms: 50,
            retry_seconds: vec![0, 0, 0],
            disable_after_hours: 1,
            disable_after_failures: 100,
            rotation_hours: 1,
            keep_days: 1,
            endpoints_max: 8,
            owner_wait_ms: 20_000,
        },
    }
}

pub(crate) fn envelope<E: Event>(event: &E) -> Envelope {
    Envelope::new("order", EventId(fresh()), SystemClock.now(), event)
        .with_traceparent(Some(format!("00-{TRACE}-b7ad6b7169203331-01")))
}

pub(crate) async fn publish(
    settings: &KafkaSettings,
    envelope: &Envelope,
    topic: ferrocart_contracts::Topic,
) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka_brokers)
        .set("acks", "all")
        .create()
        .unwrap();
    let mut headers = OwnedHeaders::new();
    for (key, value) in &envelope.headers() {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    let topic = format!("{}{topic}", settings.kafka_topic_prefix);
    let record = FutureRecord::to(&topic)
        .key(&envelope.subject)
        .payload(envelope.payload.as_ref())
        .headers(headers);
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test wants fresh ids")]
pub(crate) fn fresh() -> Uuid {
    Uuid::now_v7()
}

fn money(amount_minor: i64) -> v1::Money {
    v1::Money {
        amount_minor,
        currency: "USD".to_owned(),
    }
}

/// An order of two shoes and a hat, at 2,599.98 + 10.05 USD.
pub(crate) fn order(customer: Uuid) -> Order {
    let line = |sku: &str, title: &str, quantity, price| OrderLine {
        sku_id: fresh().to_string(),
        product_id: fresh().to_string(),
        sku: sku.to_owned(),
        title: title.to_owned(),
        quantity,
        unit_price: Some(money(price)),
    };
    Order {
        order_id: fresh().to_string(),
        customer_id: customer.to_string(),
        email: "ada.lovelace@buyers.test".to_owned(),
        lines: vec![
            line("SHOE-42", "Running shoe", 2, 129_999),
            line("HAT-1", "Straw hat", 1, 1_005),
        ],
        total: Some(money(261_003)),
        sequence: 3,
        ..Order::default()
    }
}

pub(crate) fn confirmed(order: &Order) -> v1::OrderConfirmed {
    v1::OrderConfirmed {
        order: Some(order.clone()),
        ..v1::OrderConfirmed::default()
    }
}

/// The order one step on.
pub(crate) fn next(order: &Order) -> Order {
    Order {
        sequence: order.sequence + 1,
        ..order.clone()
    }
}

pub(crate) fn shipped(order: &Order) -> v1::OrderShipped {
    v1::OrderShipped {
        order: Some(order.clone()),
        carrier: "Fast Parcel".to_owned(),
        tracking_number: "FP-123-XYZ".to_owned(),
    }
}

pub(crate) fn delivered(order: &Order) -> v1::OrderDelivered {
    v1::OrderDelivered {
        order: Some(order.clone()),
    }
}

pub(crate) fn cancelled(order: &Order, reason: &str) -> v1::OrderCancelled {
    v1::OrderCancelled {
        order: Some(order.clone()),
        reason: reason.to_owned(),
    }
}

pub(crate) fn refunded(order: &Order) -> v1::OrderRefunded {
    v1::OrderRefunded {
        order: Some(order.clone()),
        amount: Some(money(1_005)),
        reason: "hat too small".to_owned(),
        refunded: Some(money(1_005)),
    }
}

pub(crate) fn partly_refunded(order: &Order) -> v1::OrderPartiallyRefunded {
    v1::OrderPartiallyRefunded {
        order: Some(order.clone()),
        amount: Some(money(305)),
        reason: "a scratch".to_owned(),
        refunded: Some(money(305)),
    }
}
