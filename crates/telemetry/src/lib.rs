//! Logs, traces and metrics, the same in every service.
//!
//! Logs are JSON lines on standard output; each line that is written inside a request or an event
//! carries its `trace_id`. Traces go to an OTLP endpoint when one is set; trace ids exist and
//! travel without one too. Metrics are rendered for Prometheus by [`render_metrics`].

mod context;
mod exemplars;
mod gate;
mod ids;
mod task;

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use gate::{EventsOnly, Gate};
use ids::Ids;

pub use context::{TracePoint, current_trace_id, current_traceparent, set_parent};
pub use exemplars::{Exemplars, render_openmetrics};
pub use task::spawn;

/// Bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Bounds of histograms that count things, such as the size of a batch.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const UPKEEP: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Deserialize)]
pub struct TelemetrySettings {
    /// A `tracing` filter, such as `info` or `info,ferrocart_order=debug`.
    pub log_level: String,
    /// Where spans go (OTLP over HTTP, such as `http://collector:4318/v1/traces`); empty sends none.
    pub otel_exporter_otlp_endpoint: String,
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
static STARTED: OnceLock<()> = OnceLock::new();
static EXPORTS: OnceLock<()> = OnceLock::new();

/// Flushes the spans that are still buffered when the service ends.
#[derive(Debug)]
#[must_use = "spans are flushed when this is dropped"]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::debug!(%error, "some spans were not exported");
        }
    }
}

/// Sets up logs, traces and metrics for this process. A second call, as tests make it that start
/// several services in one process, changes nothing.
pub fn init(service: &'static str, settings: &TelemetrySettings) -> anyhow::Result<TelemetryGuard> {
    if STARTED.set(()).is_err() {
        return Ok(TelemetryGuard { provider: None });
    }
    let provider = tracer_provider(service, &settings.otel_exporter_otlp_endpoint)?;
    let wanted = Targets::from_str(&settings.log_level)
        .with_context(|| format!("log_level: `{}` is not a tracing filter", settings.log_level))?;

    let mut log = json_subscriber::JsonLayer::stdout();
    log.with_timer("timestamp", tracing_subscriber::fmt::time::SystemTime);
    log.with_level("level");
    log.with_target("target");
    log.with_flattened_event();
    log.add_static_field("service", serde_json::Value::from(service));
    log.add_multiple_dynamic_fields(|_event, context, writer| {
        let point = ids::current(context);
        if let Some(point) = point.or_else(|| TracePoint::within(&opentelemetry::Context::current())) {
            // A line without its trace id is better than no line.
            writer
                .write_field("trace_id", point.trace_id())
                .unwrap_or_default();
            writer
                .write_field("span_id", point.span_id.to_string())
                .unwrap_or_default();
        }
    });

    if provider.is_some() {
        EXPORTS.get_or_init(|| ());
    }
    let spans: Box<dyn Layer<Registry> + Send + Sync> = match &provider {
        Some(provider) => tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            // What these would add to a span costs more, on every poll of a request, than it tells.
            .with_tracked_inactivity(false)
            .with_threads(false)
            .with_location(false)
            .boxed(),
        None => Ids::default().boxed(),
    };
    // The gate is outermost, so that it decides for all. Filters of single layers would keep a note with every span
    // and look at it with every poll of a request.
    tracing_subscriber::registry()
        .with(spans)
        .with(EventsOnly(log))
        .with(Gate { wanted })
        .try_init()
        .context("a tracing subscriber is already set")?;
    start_metrics()?;
    Ok(TelemetryGuard { provider })
}

/// Whether spans are sent anywhere, so that it is worth describing them.
pub fn exports_spans() -> bool {
    EXPORTS.get().is_some()
}

/// None without an endpoint: ids are then made by [`Ids`], and nothing is recorded that nobody would read.
fn tracer_provider(service: &'static str, endpoint: &str) -> anyhow::Result<Option<SdkTracerProvider>> {
    if endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_headers(std::collections::HashMap::new())
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("otel_exporter_otlp_endpoint: cannot export to {endpoint}"))?;
    let resource = Resource::builder()
        .with_service_name(format!("ferrocart-{service}"))
        .build();
    Ok(Some(
        SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_batch_exporter(exporter)
            .build(),
    ))
}

fn start_metrics() -> anyhow::Result<()> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZE_BUCKETS)?
        .build_recorder();
    METRICS
        .set(recorder.handle())
        .map_err(|_| anyhow::anyhow!("metrics are already set up"))?;
    metrics::set_global_recorder(recorder).context("a metrics recorder is already set")?;
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(keep_up)
        .context("a thread for the metrics' upkeep")?;
    Ok(())
}

/// Samples of histograms pile up until they are sorted into their buckets, which a scrape does: where
/// nobody scrapes, or seldom, they would fill the memory.
fn keep_up() {
    loop {
        std::thread::sleep(UPKEEP);
        if let Some(handle) = METRICS.get() {
            handle.run_upkeep();
        }
    }
}

/// All metrics in Prometheus' text format.
pub fn render_metrics() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}
