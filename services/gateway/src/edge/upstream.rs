use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use anyhow::Context;
use bytes::Bytes;
use ferrocart_http_kit::Problem;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::table::{Pace, Service};
use crate::config::UpstreamSettings;

/// For a service's health and documents.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(2);

/// The services behind the gateway, as they are reached.
#[derive(Clone)]
pub(crate) struct Upstreams {
    http: reqwest::Client,
    services: Arc<HashMap<Service, Upstream>>,
    timeouts: Timeouts,
}

struct Upstream {
    base_url: String,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    normal: Duration,
    checkout: Duration,
    long: Duration,
}

/// A request to a service.
pub(crate) struct Outgoing<'a> {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// As the client sent it.
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: OutgoingBody,
    pub(crate) pace: Pace,
}

pub(crate) enum OutgoingBody {
    Whole(Bytes),
    Stream(reqwest::Body),
}

/// The head of a service's answer, and its turn, which ends when the answer has been passed on.
pub(crate) struct Incoming {
    pub(crate) response: Response,
    pub(crate) turn: OwnedSemaphorePermit,
}

impl Upstreams {
    pub(crate) fn new(settings: &UpstreamSettings) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(settings.upstream_connect_timeout_ms))
            .pool_max_idle_per_host(256)
            .pool_idle_timeout(Duration::from_secs(4))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let mut services = HashMap::new();
        for service in Service::ALL {
            let base_url = base_url(settings, service).trim_end_matches('/').to_owned();
            let url: Url = base_url
                .parse()
                .map_err(|error| anyhow::anyhow!("{}_url: `{base_url}`: {error}", service.name()))?;
            anyhow::ensure!(
                url.path() == "/" && url.query().is_none(),
                "{}_url: only scheme, host and port are expected",
                service.name()
            );
            let turns = Arc::new(Semaphore::new(settings.upstream_in_flight_max));
            services.insert(service, Upstream { base_url, turns });
        }
        Ok(Self {
            http,
            services: Arc::new(services),
            timeouts: Timeouts {
                normal: Duration::from_millis(settings.timeout_default_ms),
                checkout: Duration::from_millis(settings.timeout_checkout_ms),
                long: Duration::from_millis(settings.timeout_import_ms),
            },
        })
    }

    /// Sends the request, and a GET once more when no connection could be made.
    pub(crate) async fn send(&self, request: Outgoing<'_>) -> Result<Incoming, Unanswered> {
        let service = request.service;
        let upstream = self.services.get(&service).ok_or_else(Problem::internal)?;
        let turn = Arc::clone(&upstream.turns).try_acquire_owned().map_err(|_| {
            metrics::counter!("upstream_shed_total", "service" => service.name()).increment(1);
            Problem::unavailable(service.name(), Duration::from_secs(1))
        })?;
        let url = target(upstream, request.path_and_query)?;
        let timeout = self.timeout(request.pace);
        let builder = self
            .http
            .request(request.method.clone(), url)
            .headers(request.headers)
            .timeout(timeout);
        let builder = match request.body {
            OutgoingBody::Whole(body) if body.is_empty() => builder,
            OutgoingBody::Whole(body) => builder.body(body),
            OutgoingBody::Stream(body) => builder.body(body),
        };
        let again = (request.method == Method::GET)
            .then(|| builder.try_clone())
            .flatten();
        let mut answer = builder.send().await;
        if let (Err(error), Some(again)) = (&answer, again)
            && error.is_connect()
        {
            answer = again.send().await;
        }
        match answer {
            Ok(response) => Ok(Incoming { response, turn }),
            Err(error) => Err(Unanswered::Transport {
                service: service.name(),
                error,
            }),
        }
    }

    /// What is asked of a service for the gateway's own purposes: without an identity, and without taking a
    /// client's turn.
    pub(crate) async fn get_public(&self, service: Service, path: &str) -> anyhow::Result<Bytes> {
        let upstream = self.services.get(&service).context("no such service")?;
        let request = self.http.get(format!("{}{path}", upstream.base_url));
        let response = request.timeout(PUBLIC_TIMEOUT).send().await?;
        Ok(response.error_for_status()?.bytes().await?)
    }

    fn timeout(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Normal => self.timeouts.normal,
            Pace::Checkout => self.timeouts.checkout,
            Pace::Long => self.timeouts.long,
        }
    }
}

/// The URL parser resolves `..`, `%2e%2e` and backslashes. A path that does not come out as it went in
/// would reach another route than the one that was checked, so it is no path of this API.
fn target(upstream: &Upstream, path_and_query: &str) -> Result<Url, Problem> {
    let no_such_path = || Problem::not_found("NOT_FOUND", "there is nothing at this path");
    let url: Url = format!("{}{path_and_query}", upstream.base_url)
        .parse()
        .map_err(|_| no_such_path())?;
    let path = path_and_query
        .split_once('?')
        .map_or(path_and_query, |(path, _)| path);
    // Nor does an id of ours hold a separator that somebody further on might decode.
    let hides_a_separator = path.contains('%') && {
        let lower = path.to_ascii_lowercase();
        ["%2f", "%5c", "%00"].iter().any(|hidden| lower.contains(hidden))
    };
    if url.path() == path && !hides_a_separator {
        Ok(url)
    } else {
        Err(no_such_path())
    }
}

fn base_url(settings: &UpstreamSettings, service: Service) -> &str {
    match service {
        Service::Catalog => &settings.catalog_url,
        Service::Search => &settings.search_url,
        Service::Cart => &settings.cart_url,
        Service::Inventory => &settings.inventory_url,
        Service::Order => &settings.order_url,
        Service::Payment => &settings.payment_url,
        Service::Notification => &settings.notification_url,
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It was not sent.
    #[error(transparent)]
    Refused(#[from] Problem),
    #[error("{service} gave no answer: {error}")]
    Transport {
        service: &'static str,
        error: reqwest::Error,
    },
}

/// On the way to a client; this is where the failure is logged.
impl From<Unanswered> for Problem {
    fn from(failure: Unanswered) -> Self {
        match failure {
            Unanswered::Refused(problem) => problem,
            Unanswered::Transport { service, error } => unanswered(service, &error),
        }
    }
}

/// What a client is told when a service gave no answer, or only the beginning of one.
pub(crate) fn unanswered(name: &'static str, error: &reqwest::Error) -> Problem {
    // Without the URL, which carries ids.
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let reason = causes.join(": ");
    tracing::warn!(upstream = name, reason, "a service gave no answer");
    metrics::counter!("upstream_failures_total", "service" => name).increment(1);
    if error.is_timeout() && !error.is_connect() {
        let detail = format!("{name} gave no answer in time; whether the request had its effect is unknown");
        return Problem::new(StatusCode::GATEWAY_TIMEOUT, "DEPENDENCY_TIMEOUT", detail)
            .retry_after(Duration::from_secs(1));
    }
    Problem::unavailable(name, Duration::from_secs(1))
}
