use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use anyhow::Context;
use bytes::Bytes;
use ferrocart_http_kit::{Problem, TIMEOUT_HEADER, ThreadClients, time_left};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::balance::{Balancer, RetryBudget, UnderWay};
use super::table::{Pace, Service};
use crate::config::UpstreamSettings;

/// For a service's health and documents.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(2);
/// Of one request, at most.
const RETRIES_MAX: usize = 1;

/// The services behind the gateway, as they are reached.
#[derive(Clone)]
pub(crate) struct Upstreams {
    http: ThreadClients,
    services: Arc<HashMap<Service, Upstream>>,
    timeouts: Timeouts,
}

struct Upstream {
    balancer: Balancer,
    budget: RetryBudget,
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

/// The head of a service's answer, and its turns, which end when the answer has been passed on.
pub(crate) struct Incoming {
    pub(crate) response: Response,
    pub(crate) turn: Turn,
}

/// A place among the requests under way to a service, and to its replica.
pub(crate) struct Turn {
    _service: OwnedSemaphorePermit,
    _replica: UnderWay,
}

impl Upstreams {
    pub(crate) fn new(settings: &UpstreamSettings) -> anyhow::Result<Self> {
        let connect_timeout = Duration::from_millis(settings.upstream_connect_timeout_ms);
        let http = ThreadClients::new(move || {
            reqwest::Client::builder()
                .connect_timeout(connect_timeout)
                .pool_max_idle_per_host(256)
                .pool_idle_timeout(Duration::from_secs(4))
                .redirect(reqwest::redirect::Policy::none())
                // Retries are ours; for its own the client would keep a copy of every request.
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .no_proxy()
        })?;
        let mut services = HashMap::new();
        for service in Service::ALL {
            let urls = replica_urls(service, base_urls(settings, service))?;
            let upstream = Upstream {
                balancer: Balancer::new(service.name(), urls, settings.ejection()),
                budget: RetryBudget::new(settings.upstream_retry_percent),
                turns: Arc::new(Semaphore::new(settings.upstream_in_flight_max)),
            };
            services.insert(service, upstream);
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

    /// Sends the request to the replica that has the least to do, and once more, to another one if there is one, when
    /// it cannot have had an effect, or may have it twice: see [`may_repeat`].
    pub(crate) async fn send(&self, request: Outgoing<'_>) -> Result<Incoming, Unanswered> {
        let service = request.service;
        let upstream = self.services.get(&service).ok_or_else(Problem::internal)?;
        let http = self.http.get().map_err(|_| Problem::internal())?;
        let turn = Arc::clone(&upstream.turns).try_acquire_owned().map_err(|_| {
            metrics::counter!("upstream_shed_total", "service" => service.name()).increment(1);
            Problem::unavailable(service.name(), Duration::from_secs(1))
        })?;
        let pace = self.timeout(request.pace);
        // Whoever waits for us may have less time; the answer at its end is not ours to make.
        let is_hurried = time_left().is_some_and(|left| left < pace);
        let deadline = Instant::now() + pace;
        upstream.budget.earn();
        let is_keyed = request.headers.contains_key("idempotency-key");
        let repeats = request.method == Method::GET || is_keyed;
        let (mut again, mut first) = match request.body {
            OutgoingBody::Whole(body) => (
                Some((request.headers.clone(), body.clone())),
                (request.headers, body.into()),
            ),
            OutgoingBody::Stream(body) => (None, (request.headers, body)),
        };
        let mut tried = Vec::with_capacity(RETRIES_MAX + 1);
        loop {
            let way = upstream.balancer.pick(&tried).ok_or_else(Problem::internal)?;
            let url = target(&way.replica().base_url, request.path_and_query)?;
            let (headers, body) = first;
            let left = deadline.saturating_duration_since(Instant::now());
            let told = time_left().map_or(left, |ours| ours.min(left));
            let outgoing = http.request(request.method.clone(), url).headers(headers);
            let answer = outgoing
                .header(TIMEOUT_HEADER, told.as_millis().to_string())
                .timeout(left)
                .body(body)
                .send()
                .await;
            let failure = Failure::of(&answer);
            match failure {
                None => upstream.balancer.succeeded(way.replica()),
                // Clients in a hurry must not get healthy replicas ejected.
                Some(Failure::Unable) if is_hurried => {}
                Some(_) => upstream.balancer.failed(way.replica()),
            }
            tried.push(Arc::clone(way.replica()));
            let is_elsewhere = upstream.balancer.replicas().len() > tried.len();
            if let Some(failure) = failure
                && tried.len() <= RETRIES_MAX
                && may_repeat(failure, repeats, is_elsewhere)
                && let Some((headers, body)) = again.take_if(|_| upstream.budget.spend())
            {
                metrics::counter!("upstream_retries_total", "service" => service.name()).increment(1);
                first = (headers, body.into());
                continue;
            }
            let turn = Turn {
                _service: turn,
                _replica: way,
            };
            return match answer {
                Ok(response) => Ok(Incoming { response, turn }),
                Err(error) => Err(Unanswered::Transport {
                    service: service.name(),
                    error,
                }),
            };
        }
    }

    /// A call of the gateway's own, with JSON; answers how it ended.
    pub(crate) async fn post_own(
        &self,
        service: Service,
        path: &str,
        token: &str,
        body: Bytes,
    ) -> anyhow::Result<reqwest::StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let outgoing = Outgoing {
            service,
            method: Method::POST,
            path_and_query: path,
            headers,
            body: OutgoingBody::Whole(body),
            pace: Pace::Checkout,
        };
        Ok(self.send(outgoing).await?.response.status())
    }

    /// What is asked of a service for the gateway's own purposes: without an identity, and without taking a
    /// client's turn.
    pub(crate) async fn get_public(&self, service: Service, path: &str) -> anyhow::Result<Bytes> {
        let upstream = self.services.get(&service).context("no such service")?;
        let way = upstream.balancer.pick(&[]).context("no replica")?;
        self.get_from(&way.replica().base_url, path).await
    }

    async fn get_from(&self, base_url: &str, path: &str) -> anyhow::Result<Bytes> {
        let request = self.http.get()?.get(format!("{base_url}{path}"));
        let response = request.timeout(PUBLIC_TIMEOUT).send().await?;
        Ok(response.error_for_status()?.bytes().await?)
    }

    /// Asks every replica of a service whether it is ready, and remembers it for those that choose one.
    pub(crate) async fn probe(&self, service: Service) -> Vec<ReplicaState> {
        let Some(upstream) = self.services.get(&service) else {
            return Vec::new();
        };
        let asked = upstream.balancer.replicas().iter().map(|replica| async move {
            let is_ready = self.get_from(&replica.base_url, "/health/ready").await.is_ok();
            replica.set_ready(is_ready);
            ReplicaState {
                is_ready,
                is_ejected: upstream.balancer.is_ejected(replica),
            }
        });
        futures::future::join_all(asked).await
    }

    fn timeout(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Normal => self.timeouts.normal,
            Pace::Checkout => self.timeouts.checkout,
            Pace::Long => self.timeouts.long,
        }
    }
}

/// How a replica was found when it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaState {
    pub(crate) is_ready: bool,
    pub(crate) is_ejected: bool,
}

/// In what way an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No connection: the request did not arrive.
    Unreachable,
    /// Cut off: whether it had its effect is unknown.
    CutOff,
    /// The time is over, and so it is for another attempt.
    TooLate,
    /// The replica says that it cannot serve.
    Unable,
}

impl Failure {
    fn of(answer: &Result<Response, reqwest::Error>) -> Option<Self> {
        match answer {
            Ok(response) => matches!(
                response.status(),
                reqwest::StatusCode::BAD_GATEWAY
                    | reqwest::StatusCode::SERVICE_UNAVAILABLE
                    | reqwest::StatusCode::GATEWAY_TIMEOUT
            )
            .then_some(Self::Unable),
            Err(error) if error.is_connect() => Some(Self::Unreachable),
            Err(error) if error.is_timeout() => Some(Self::TooLate),
            Err(_) => Some(Self::CutOff),
        }
    }
}

/// What did not arrive is sent again, whatever it is. What may have arrived is, if it changes nothing, or if the service
/// knows by its idempotency key that it is the same. What a replica refused is taken to another one alone.
fn may_repeat(failure: Failure, repeats: bool, is_elsewhere: bool) -> bool {
    match failure {
        Failure::Unreachable => true,
        Failure::CutOff => repeats,
        Failure::Unable => repeats && is_elsewhere,
        Failure::TooLate => false,
    }
}

/// The addresses of a service, separated by commas.
fn replica_urls(service: Service, text: &str) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let base_url = text.trim_end_matches('/').to_owned();
        let url: Url = base_url
            .parse()
            .map_err(|error| anyhow::anyhow!("{}_url: `{base_url}`: {error}", service.name()))?;
        anyhow::ensure!(
            url.path() == "/" && url.query().is_none(),
            "{}_url: only scheme, host and port are expected",
            service.name()
        );
        urls.push(base_url);
    }
    anyhow::ensure!(
        !urls.is_empty(),
        "{}_url: at least one address is needed",
        service.name()
    );
    Ok(urls)
}

/// The URL parser resolves `..`, `%2e%2e` and backslashes. A path that does not come out as it went in
/// would reach another route than the one that was checked, so it is no path of this API.
fn target(base_url: &str, path_and_query: &str) -> Result<Url, Problem> {
    let no_such_path = || Problem::not_found("NOT_FOUND", "there is nothing at this path");
    let url: Url = format!("{base_url}{path_and_query}")
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

fn base_urls(settings: &UpstreamSettings, service: Service) -> &str {
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
