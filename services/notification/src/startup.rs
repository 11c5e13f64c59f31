use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use chrono::TimeDelta;
use ferrocart_config::ConfigError;
use ferrocart_contracts::Topic;
use ferrocart_http_kit::{Background, Check, Readiness, Server, ServerParts, ServiceMain, TokenVerifier};
use ferrocart_kafka_kit::{BatchHandler, Consumer, KafkaSettings, ensure_topics};
use ferrocart_pg_kit::Combiner;
use ferrocart_telemetry::TelemetrySettings;
use ferrocart_types::{SharedClock, SharedIds, SystemClock, SystemIds};
use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::config::{SenderSettings, Settings};
use crate::consumers::{BATCH_MAX, MerchantEvents, OrderEvents};
use crate::domain::{Channel, Patience, RetryPolicy, Schedule};
use crate::mail::{self, Composer, LinkComposer, Templates, Unsubscribe};
use crate::openapi::Document;
use crate::routes::{self, Post, State};
use crate::sms::{self, Destinations};
use crate::store::Room;
use crate::webhook::{AddressRules, PostOffice, Safe};
use crate::workers::{Courier, Housekeeper, Mails, Marks, Outlet, Sender, Texts, WorkHandle};

const NAME: &str = "notification";
const TOPICS: [Topic; 1] = [Topic::Order];
/// Webhooks are groups of their own: an order whose products are not known yet holds up no e-mail, and not the events
/// that it waits for.
const PRODUCTS_GROUP: &str = "notification-products";
const PRODUCTS_TOPICS: [Topic; 1] = [Topic::Catalog];
const WEBHOOKS_GROUP: &str = "notification-webhooks";
const WEBHOOKS_TOPICS: [Topic; 2] = [Topic::Order, Topic::Inventory];
/// Messages that are written down as sent in one statement at most.
const MARKS_MAX: usize = 256;
const DATABASE_RETRY: Duration = Duration::from_millis(500);

static MIGRATOR: Migrator = sqlx::migrate!();

/// The binary's view of the service.
#[derive(Debug)]
pub struct NotificationService;

impl ServiceMain for NotificationService {
    const NAME: &'static str = NAME;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    type Settings = Settings;

    fn validate(settings: &Settings) -> Result<(), ConfigError> {
        settings.validate()
    }

    fn telemetry(settings: &Settings) -> &TelemetrySettings {
        &settings.telemetry
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        Document::openapi()
    }

    async fn migrate(settings: Settings) -> anyhow::Result<()> {
        let pool = ferrocart_pg_kit::connect(&settings.pg, NAME)?;
        ferrocart_pg_kit::migrate(&pool, &MIGRATOR).await?;
        Ok(())
    }

    async fn serve(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
        Application::build(&settings, Arc::new(SystemClock), Arc::new(SystemIds))?
            .run_until_stopped(cancel)
            .await
    }
}

/// The service, bound to its port and not yet serving.
pub struct Application {
    server: Server,
    settings: Settings,
    pool: PgPool,
    clock: SharedClock,
    ids: SharedIds,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Application {
    pub fn build(settings: &Settings, clock: SharedClock, ids: SharedIds) -> anyhow::Result<Self> {
        Ok(Self {
            server: Server::bind(&settings.http)?,
            pool: ferrocart_pg_kit::connect(&settings.pg, NAME).context("database_url")?,
            settings: settings.clone(),
            clock,
            ids,
        })
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        self.server.port()
    }

    fn state(&self) -> anyhow::Result<State> {
        let webhooks = &self.settings.webhooks;
        Ok(State {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            unsubscribe: Unsubscribe::new(&self.settings)?,
            destinations: destinations(&self.settings)?,
            safe: Arc::new(Safe::new(&self.settings.webhook_seal_keys)?),
            rules: AddressRules {
                allow_loopback: webhooks.allow_loopback,
            },
            courier: WorkHandle::default(),
            endpoints_max: webhooks.endpoints_max,
            rotation: TimeDelta::hours(webhooks.rotation_hours.into()),
            post: Arc::new(Post {
                links: LinkComposer::new(&self.settings)?,
                mailer: mail::mailer(&self.settings)?,
                locale: self.settings.locale()?,
                timeout: Duration::from_millis(self.settings.mail_timeout_ms),
            }),
        })
    }

    /// Serves, consumes and sends until the token is cancelled.
    pub async fn run_until_stopped(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let migrated = Arc::new(AtomicBool::new(false));
        let state = web::Data::new(self.state()?);
        let parts = ServerParts {
            service: NAME,
            readiness: readiness(self.pool.clone(), migrated.clone()),
            openapi: Document::openapi(),
            verifier: Some(TokenVerifier::load(NAME, &self.settings.auth)?),
            public_paths: &[],
        };
        let work = Work::new(&self, &state)?;

        let stop_background = CancellationToken::new();
        let background = ferrocart_telemetry::spawn("background", {
            let (cancel, stop) = (cancel.clone(), stop_background.clone());
            async move {
                let outcome = work.run(&migrated, stop).await;
                cancel.cancel();
                outcome
            }
        });
        let served = self
            .server
            .run(
                parts,
                move |config| {
                    config.app_data(state.clone());
                    routes::configure(config);
                },
                cancel,
            )
            .await;
        stop_background.cancel();
        background.await??;
        served
    }
}

fn readiness(pool: PgPool, migrated: Arc<AtomicBool>) -> Readiness {
    let database = move || {
        let (pool, migrated) = (pool.clone(), migrated.clone());
        async move {
            ferrocart_pg_kit::ping(&pool)
                .await
                .map_err(|error| error.to_string())?;
            if migrated.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err("migrations are under way".to_owned())
            }
        }
    };
    Readiness::new(vec![Check::new("postgresql", database)])
}

/// What runs beside the server.
struct Work {
    pool: PgPool,
    kafka: KafkaSettings,
    events: OrderEvents,
    mails: Sender,
    /// Where a provider is configured.
    texts: Option<Sender>,
    products: MerchantEvents,
    webhooks: MerchantEvents,
    courier: Courier,
    housekeeper: Housekeeper,
}

impl Work {
    fn new(application: &Application, state: &State) -> anyhow::Result<Self> {
        let Application {
            settings,
            pool,
            clock,
            ids,
            ..
        } = application;
        let handle = WorkHandle::default();
        let texts_handle = WorkHandle::default();
        let mailer = state.post.mailer.clone();
        let texts = match sms::provider(settings)? {
            None => None,
            Some(provider) => Some(sender(
                application,
                texts_handle.clone(),
                Texts {
                    templates: Templates::parse()?,
                    provider,
                },
                &settings.sms.sender,
                settings.sms.timeout_ms,
            )),
        };
        let merchant_events = |group| MerchantEvents {
            pool: pool.clone(),
            group,
            clock: clock.clone(),
            ids: ids.clone(),
            courier: state.courier.clone(),
            owner_wait: Duration::from_millis(settings.webhooks.owner_wait_ms),
        };
        Ok(Self {
            products: merchant_events(PRODUCTS_GROUP),
            webhooks: merchant_events(WEBHOOKS_GROUP),
            courier: courier(application, state, handle.clone())?,
            pool: pool.clone(),
            kafka: settings.kafka.clone(),
            events: OrderEvents {
                pool: pool.clone(),
                group: NAME,
                clock: clock.clone(),
                ids: ids.clone(),
                senders: vec![handle.clone(), texts_handle.clone()],
                channels: if texts.is_some() {
                    &Channel::ALL
                } else {
                    &[Channel::Email]
                },
                locale: settings.locale()?,
            },
            mails: sender(
                application,
                handle,
                Mails {
                    composer: Composer::new(settings)?,
                    mailer: mailer.clone(),
                },
                &settings.sender,
                settings.mail_timeout_ms,
            ),
            texts,
            housekeeper: Housekeeper {
                pool: pool.clone(),
                clock: clock.clone(),
                mailer,
                webhooks_kept: TimeDelta::days(settings.webhooks.keep_days.into()),
            },
        })
    }

    async fn run(self, migrated: &AtomicBool, cancel: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            outcome = migrate(&self.pool) => outcome?,
        }
        migrated.store(true, Ordering::Relaxed);
        let mut background = Background::new();
        background.spawn(
            "order-events",
            consume(self.kafka.clone(), NAME, &TOPICS, self.events, cancel.clone()),
        );
        background.spawn(
            PRODUCTS_GROUP,
            consume(
                self.kafka.clone(),
                PRODUCTS_GROUP,
                &PRODUCTS_TOPICS,
                self.products,
                cancel.clone(),
            ),
        );
        background.spawn(
            WEBHOOKS_GROUP,
            consume(
                self.kafka,
                WEBHOOKS_GROUP,
                &WEBHOOKS_TOPICS,
                self.webhooks,
                cancel.clone(),
            ),
        );
        background.spawn("courier", self.courier.run(cancel.clone()));
        background.spawn("sender", self.mails.run(cancel.clone()));
        if let Some(texts) = self.texts {
            background.spawn("sms-sender", texts.run(cancel.clone()));
        }
        background.spawn("housekeeping", self.housekeeper.run(cancel.clone()));
        background.run(cancel).await
    }
}

/// Where messages by SMS may go; `None` where no provider is configured.
fn destinations(settings: &Settings) -> Result<Option<Destinations>, ConfigError> {
    if settings.sms.url.is_empty() {
        return Ok(None);
    }
    Destinations::parse(&settings.sms.prefixes).map(Some)
}

/// The way out of one channel; it waits for a slow provider alone, so each channel has its own.
fn sender(
    application: &Application,
    handle: WorkHandle,
    outlet: impl Outlet,
    settings: &SenderSettings,
    timeout_ms: u64,
) -> Sender {
    let pool = application.pool.clone();
    Sender {
        clock: application.clock.clone(),
        ids: application.ids.clone(),
        handle,
        outlet: Arc::new(outlet),
        policy: RetryPolicy::new(settings),
        marks: Combiner::start(Marks { pool: pool.clone() }, 1, MARKS_MAX),
        pool,
        batch_max: settings.batch_max,
        lease: milliseconds(settings.lease_ms),
        poll: Duration::from_millis(settings.poll_ms),
        timeout: Duration::from_millis(timeout_ms),
    }
}

fn courier(application: &Application, state: &State, mails: WorkHandle) -> anyhow::Result<Courier> {
    let webhooks = &application.settings.webhooks;
    let timeout = Duration::from_millis(webhooks.timeout_ms);
    Ok(Courier {
        pool: state.pool.clone(),
        clock: state.clock.clone(),
        ids: state.ids.clone(),
        handle: state.courier.clone(),
        mails,
        office: PostOffice::new(state.rules, timeout)?,
        safe: state.safe.clone(),
        rules: state.rules,
        schedule: Schedule::new(&webhooks.retry_seconds),
        patience: Patience {
            failures: webhooks.disable_after_failures,
            time: TimeDelta::hours(webhooks.disable_after_hours.into()),
        },
        room: Room {
            in_all: webhooks.under_way_max,
            per_endpoint: webhooks.under_way_per_endpoint_max,
        },
        lease: milliseconds(webhooks.lease_ms),
        poll: Duration::from_millis(webhooks.poll_ms),
        locale: application.settings.locale()?,
    })
}

fn milliseconds(ms: u64) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Waits for a database that is not up yet; the service says meanwhile that it is not ready.
async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    loop {
        match ferrocart_pg_kit::migrate(pool, &MIGRATOR).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if ferrocart_pg_kit::is_unavailable(&error) =>
            {
                tracing::warn!(%error, "migrations wait for the database");
                tokio::time::sleep(DATABASE_RETRY).await;
            }
            Err(error) => return Err(error).context("migrations"),
        }
    }
}

async fn consume(
    kafka: KafkaSettings,
    group: &'static str,
    topics: &'static [Topic],
    events: impl BatchHandler,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        outcome = ensure_topics(&kafka, Some((group, topics))) => outcome?,
    }
    Consumer::new(&kafka, group, topics)?
        .run_batches(events, BATCH_MAX, cancel)
        .await
}
