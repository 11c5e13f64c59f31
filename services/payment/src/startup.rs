use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use ferrocart_config::ConfigError;
use ferrocart_contracts::Topic;
use ferrocart_http_kit::{Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenVerifier};
use ferrocart_kafka_kit::{Consumer, KafkaSettings, Relay, ensure_topics};
use ferrocart_pg_kit::Combiner;
use ferrocart_pg_kit::outbox::Publisher;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::app::{GROUP, Openings, Outcomes, Payments, Standings};
use crate::config::{self, Settings};
use crate::consumers::OrderCancelledHandler;
use crate::openapi::Document;
use crate::provider::{Stripe, WebhookVerifier};
use crate::{routes, workers};

pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

const NAME: &str = "payment";
/// Batches of one kind that are under way at once.
const LANES: usize = 2;
/// Payments in a batch at most.
const BATCH_MAX: usize = 64;
/// One for each lane.
const BATCH_CONNECTIONS: u32 = 5;
/// They check their caller in another way: the provider signs what it sends.
const PUBLIC_PATHS: &[&str] = &["/v1/payments/webhook"];

const CONSUMED: &[Topic] = &[Topic::Order];
const TOPICS_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Payment;

impl ServiceMain for Payment {
    const NAME: &'static str = NAME;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        config::validate(settings)
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        Document::openapi()
    }

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = ferrocart_pg_kit::connect(&settings.pg, NAME)?;
        Ok(ferrocart_pg_kit::migrate(&pool, &MIGRATOR).await?)
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        Application::build(settings, Arc::new(SystemClock), Arc::new(SystemIds))
            .await?
            .run_until_stopped(cancel)
            .await
    }
}

/// The service, listening and not serving yet.
pub struct Application {
    settings: Settings,
    server: Server,
    verifier: TokenVerifier,
    payments: Arc<Payments>,
    relay: Relay,
}

impl Application {
    /// Brings the database up to date and takes the port.
    pub async fn build(settings: Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        config::validate(&settings)?;
        let verifier = TokenVerifier::load(NAME, &settings.auth)?;
        let pool = ferrocart_pg_kit::connect(&settings.pg, NAME)?;
        ferrocart_pg_kit::migrate(&pool, &MIGRATOR).await?;
        let batches = ferrocart_pg_kit::connect_for_batches(&settings.pg, NAME, BATCH_CONNECTIONS)?;
        let relay = Relay::new(pool.clone(), &settings.kafka, NAME);
        let payments = Arc::new(Payments {
            openings: Combiner::start(Openings(batches.clone()), LANES, BATCH_MAX),
            outcomes: Combiner::start(Outcomes(batches.clone()), LANES, BATCH_MAX),
            standings: Combiner::start(Standings(batches), 1, BATCH_MAX),
            provider: Arc::new(Stripe::new(settings.psp.stripe())?),
            publisher: Publisher::new(NAME, Arc::clone(&clock), Arc::clone(&ids)),
            relay: relay.handle(),
            patience: settings.psp.patience(),
            publishable_key: Some(settings.psp.psp_publishable_key.clone()).filter(|key| !key.is_empty()),
            to_recover: Notify::new(),
            to_reconcile: Notify::new(),
            pool,
            clock,
            ids,
        });
        let server = Server::bind(&settings.http)?;
        Ok(Self {
            settings,
            server,
            verifier,
            payments,
            relay,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    /// For tests that look at or drive what runs by itself.
    pub fn payments(&self) -> Arc<Payments> {
        Arc::clone(&self.payments)
    }

    /// Serves until the token is cancelled: first the requests under way end, then the background.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let stop_background = CancellationToken::new();
        let background = ferrocart_telemetry::spawn(
            "background",
            background(
                self.settings.clone(),
                Arc::clone(&self.payments),
                self.relay,
                stop_background.clone(),
            ),
        );
        // A background task that fails takes the server down with it.
        let stop_server = cancel.child_token();
        let watch = ferrocart_telemetry::spawn("background-watch", {
            let (failed, stop) = (stop_background.clone(), stop_server.clone());
            async move {
                failed.cancelled().await;
                stop.cancel();
            }
        });
        let parts = ServerParts {
            service: NAME,
            readiness: readiness(&self.payments),
            openapi: Document::openapi(),
            verifier: Some(self.verifier),
            public_paths: PUBLIC_PATHS,
        };
        let configure = configure(&self.payments, &self.settings);
        let served = self.server.run(parts, configure, stop_server).await;
        stop_background.cancel();
        watch.abort();
        let ended = background.await?;
        self.payments.pool.close().await;
        served.and(ended)
    }
}

fn configure(
    payments: &Arc<Payments>,
    settings: &Settings,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let payments = web::Data::from(Arc::clone(payments));
    let verifier = web::Data::new(WebhookVerifier::new(settings.psp.psp_webhook_secret.clone()));
    let body_bytes_max = settings.http.body_bytes_max;
    move |config: &mut ServiceConfig| {
        config
            .app_data(payments.clone())
            .app_data(verifier.clone())
            .app_data(web::PayloadConfig::new(body_bytes_max));
        routes::configure(config);
    }
}

/// The provider is not among what must work: while it is away payments are told so one by one.
fn readiness(payments: &Arc<Payments>) -> Readiness {
    let pool = payments.pool.clone();
    Readiness::new(vec![Check::new("postgresql", move || {
        let pool = pool.clone();
        async move { ferrocart_pg_kit::ping(&pool).await }
    })])
}

/// Without a broker payments go on: their events wait in the outbox.
async fn background(
    settings: Settings,
    payments: Arc<Payments>,
    relay: Relay,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = Background::new();
    let kafka = settings.kafka;
    tasks.spawn("outbox-relay", publish(relay, kafka.clone(), cancel.clone()));
    let handler = OrderCancelledHandler {
        payments: Arc::clone(&payments),
    };
    tasks.spawn("order-events", consume(handler, kafka, cancel.clone()));
    let interval = Duration::from_millis(settings.recovery_interval_ms);
    tasks.spawn(
        "recovery",
        workers::recover(Arc::clone(&payments), interval, cancel.clone()),
    );
    let schedule = settings.reconciliation.schedule();
    tasks.spawn(
        "reconciliation",
        workers::reconcile(payments, schedule, cancel.clone()),
    );
    tasks.run(cancel).await
}

async fn publish(relay: Relay, kafka: KafkaSettings, cancel: CancellationToken) -> anyhow::Result<()> {
    if topics_ready(&kafka, &cancel).await {
        relay.run(cancel).await?;
    }
    Ok(())
}

async fn consume(
    handler: OrderCancelledHandler,
    kafka: KafkaSettings,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    if topics_ready(&kafka, &cancel).await {
        Consumer::new(&kafka, GROUP, CONSUMED)?
            .run(handler, cancel)
            .await?;
    }
    Ok(())
}

/// `false` when the service ends first.
async fn topics_ready(kafka: &KafkaSettings, cancel: &CancellationToken) -> bool {
    loop {
        let outcome = tokio::select! {
            () = cancel.cancelled() => return false,
            outcome = ensure_topics(kafka, Some((GROUP, CONSUMED))) => outcome,
        };
        match outcome {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the topics are not ready");
                tokio::time::sleep(TOPICS_RETRY).await;
            }
        }
    }
}
