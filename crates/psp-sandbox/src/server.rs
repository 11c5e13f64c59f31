//! Starting and stopping the sandbox.

use crate::api::{self, App, Wire};
use crate::clock::{Clock, SystemClock};
use crate::faults::Faults;
use crate::ledger::journal::Limits;
use crate::ledger::{self, EventSink, Ledger, Settings};
use crate::webhook::{self, Endpoint, Outbox};
use actix_web::dev::{Extensions, ServerHandle};
use actix_web::rt::net::TcpStream;
use actix_web::{HttpServer, web};
use anyhow::Context as _;
use std::any::Any;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The sandbox's publishable key, unless it is given another one.
pub const PUBLISHABLE_KEY: &str = "pk_test_sandbox";
/// Stripe holds card authorizations for seven days.
const HOLD_SECONDS: i64 = 7 * 24 * 60 * 60;
const JOURNAL_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
const SWEEP_EVERY: Duration = Duration::from_millis(500);
const SWEEP_INTENTS_MAX: usize = 500;
const STOP_SECONDS_MAX: u64 = 10;
/// Longer than clients keep idle connections, so that none sends into one that is being closed.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

pub struct Options {
    pub host: String,
    /// 0 for any free one.
    pub port: u16,
    pub data_dir: PathBuf,
    pub api_key: String,
    /// What browsers send; no secret.
    pub publishable_key: String,
    pub webhook: Option<WebhookOptions>,
    /// Every answer waits this long.
    pub latency_ms: u64,
    /// Where a browser reaches the sandbox; the bound address if not given.
    pub public_url: Option<String>,
    /// How long an authorization holds.
    pub hold_seconds: i64,
    /// The ledger refuses to grow beyond this.
    pub journal_bytes_max: u64,
    /// Plays a slower disk: waited before every write of the ledger.
    pub disk_latency: Duration,
    /// Threads that serve requests.
    pub workers: usize,
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone)]
pub struct WebhookOptions {
    pub url: String,
    pub secret: String,
}

impl Options {
    /// A sandbox on a free port of this machine, without webhooks.
    pub fn new(data_dir: impl Into<PathBuf>, api_key: impl Into<String>) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            data_dir: data_dir.into(),
            api_key: api_key.into(),
            publishable_key: PUBLISHABLE_KEY.to_owned(),
            webhook: None,
            latency_ms: 0,
            public_url: None,
            hold_seconds: HOLD_SECONDS,
            journal_bytes_max: JOURNAL_BYTES_MAX,
            disk_latency: Duration::ZERO,
            workers: 1,
            clock: Arc::new(SystemClock),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.api_key.is_empty(), "the API key is empty");
        anyhow::ensure!(
            self.publishable_key.starts_with("pk_") && self.publishable_key != self.api_key,
            "the publishable key begins with pk_, and is not the API key"
        );
        anyhow::ensure!(
            self.hold_seconds > 0,
            "authorizations must hold for at least a second"
        );
        if let Some(webhook) = &self.webhook {
            anyhow::ensure!(!webhook.secret.is_empty(), "webhooks need a secret to sign with");
            reqwest::Url::parse(&webhook.url).context("the webhook URL")?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub struct Sandbox;

/// A sandbox that runs. Dropped without [`Running::stop`] it ends at once, as if it was killed.
pub struct Running {
    pub base_url: String,
    server: ServerHandle,
    ledger: Arc<Ledger>,
    stopping: watch::Sender<bool>,
    served: Option<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the sandbox starts tasks"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Sandbox {
    /// Replays the ledger and listens. Needs a tokio runtime.
    pub async fn start(options: Options) -> anyhow::Result<Running> {
        options.check()?;
        let listener = TcpListener::bind((options.host.as_str(), options.port))
            .with_context(|| format!("listen on {}:{}", options.host, options.port))?;
        let base_url = format!("http://{}", listener.local_addr().context("the bound address")?);
        let outbox = Arc::new(Outbox::default());
        let ledger = Arc::new(open(&options, &base_url, &outbox).await?);
        let (stopping, stopping_seen) = watch::channel(false);
        let app = web::Data::new(App {
            ledger: Arc::clone(&ledger),
            faults: Faults::new(options.latency_ms),
            outbox: Arc::clone(&outbox),
            api_key: options.api_key,
            publishable_key: options.publishable_key,
            stopping: stopping_seen,
            run: rand::random(),
            requests: AtomicU64::new(1),
        });
        let mut background = vec![spawn(sweep(Arc::clone(&ledger)))];
        if let Some(WebhookOptions { url, secret }) = options.webhook {
            let paused = app.faults.webhooks_paused();
            let endpoint = Endpoint { url, secret };
            background.push(spawn(webhook::run(outbox, Arc::clone(&ledger), endpoint, paused)));
        }
        let server =
            HttpServer::new(move || actix_web::App::new().app_data(app.clone()).configure(api::routes))
                .workers(options.workers.max(1))
                .keep_alive(KEEP_ALIVE)
                .on_connect(keep_wire)
                // A client that hangs up ends the wait of a request that is never answered.
                .h1_allow_half_closed(false)
                .disable_signals()
                .shutdown_timeout(STOP_SECONDS_MAX)
                .listen(listener)
                .context("listen")?
                .run();
        let handle = server.handle();
        let task = spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the server ended");
            }
        });
        Ok(Running {
            base_url,
            server: handle,
            ledger,
            stopping,
            served: Some(task),
            background,
        })
    }
}

async fn open(options: &Options, base_url: &str, outbox: &Arc<Outbox>) -> anyhow::Result<Ledger> {
    let settings = Settings {
        public_url: options.public_url.clone().unwrap_or_else(|| base_url.to_owned()),
        hold_seconds: options.hold_seconds,
        journal: Limits {
            bytes_max: options.journal_bytes_max,
            disk_latency: options.disk_latency,
        },
    };
    let sink = options.webhook.is_some().then(|| {
        let sink: Arc<dyn EventSink> = Arc::<Outbox>::clone(outbox);
        sink
    });
    let (dir, clock) = (options.data_dir.clone(), Arc::clone(&options.clock));
    tokio::task::spawn_blocking(move || ledger::open(&dir, settings, clock, sink))
        .await
        .context("replay the ledger")?
}

/// Keeps a second handle to the connection, to be able to close it without an answer.
fn keep_wire(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    match stream.as_fd().try_clone_to_owned() {
        Ok(fd) => {
            data.insert(Wire(fd.into()));
        }
        Err(error) => tracing::warn!(%error, "a connection cannot be closed on demand"),
    }
}

async fn sweep(ledger: Arc<Ledger>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        ledger.sweep(SWEEP_INTENTS_MAX);
    }
}

impl Running {
    /// Answers what is under way, writes everything down and ends.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        self.server.stop(true).await;
        self.end_background();
        if let Some(served) = self.served.take()
            && let Err(error) = served.await
        {
            tracing::error!(%error, "the server's task failed");
        }
        let ledger = Arc::clone(&self.ledger);
        if tokio::task::spawn_blocking(move || ledger.journal.close())
            .await
            .is_err()
        {
            tracing::error!("the journal could not be closed");
        }
    }

    fn end_background(&mut self) {
        for task in self.background.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_background();
        if self.served.is_some() {
            // Sends the command; there is nobody to wait for its end.
            drop(self.server.stop(false));
        }
    }
}
