//! Exemplars: beside a bucket of a histogram, the trace of a request that fell into it. The exporter of the metrics knows
//! none, so they are added to the text that it writes.

use std::collections::HashMap;
// Writing to a string never fails.
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::{LATENCY_BUCKETS, TracePoint, render_metrics};

/// A bucket's exemplar is replaced when it is so old: more often than anybody scrapes is of no use.
const LASTS: Duration = Duration::from_secs(5);
/// With the last one, which has no bound.
const BUCKETS: usize = LATENCY_BUCKETS.len() + 1;

struct Exemplar {
    trace_id: String,
    seconds: f64,
    at: SystemTime,
}

/// By the beginning of the line that they stand in.
static KNOWN: LazyLock<Mutex<HashMap<String, Exemplar>>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, HashMap<String, Exemplar>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of one histogram of latencies, by one thread: which of its buckets want a new one.
pub struct Exemplars {
    /// A line of the histogram's up to the bound of its bucket.
    beginning: String,
    taken: [Option<Instant>; BUCKETS],
}

impl Exemplars {
    /// `labels` as the histogram has them, in the same order.
    pub fn of(histogram: &str, labels: &[(&'static str, String)]) -> Self {
        let mut beginning = format!("{histogram}_bucket{{");
        for (name, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(beginning, "{name}=\"{value}\",").ok();
        }
        Self {
            beginning,
            taken: [None; BUCKETS],
        }
    }

    /// Takes one that took so long, where it stands in its trace, if its bucket wants it.
    pub fn offer(&mut self, elapsed: Duration, point: Option<TracePoint>) {
        let seconds = elapsed.as_secs_f64();
        let bucket = LATENCY_BUCKETS.iter().position(|bound| seconds <= *bound);
        let Some(taken) = self.taken.get_mut(bucket.unwrap_or(LATENCY_BUCKETS.len())) else {
            return;
        };
        let Some(point) = point else {
            return;
        };
        if taken.is_some_and(|taken| taken.elapsed() < LASTS) {
            return;
        }
        *taken = Some(Instant::now());
        let bound = bucket
            .and_then(|bucket| LATENCY_BUCKETS.get(bucket))
            .map_or_else(|| "+Inf".to_owned(), ToString::to_string);
        let exemplar = Exemplar {
            trace_id: point.trace_id(),
            seconds,
            at: SystemTime::now(),
        };
        known().insert(format!("{}le=\"{bound}\"}}", self.beginning), exemplar);
    }
}

impl std::fmt::Debug for Exemplars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exemplars")
            .field("beginning", &self.beginning)
            .finish_non_exhaustive()
    }
}

/// All metrics as OpenMetrics 1.0 has them, with exemplars.
pub fn render_openmetrics() -> String {
    openmetrics(&render_metrics(), &known())
}

fn openmetrics(prometheus: &str, exemplars: &HashMap<String, Exemplar>) -> String {
    let mut text = String::with_capacity(prometheus.len());
    for line in prometheus.lines().filter(|line| !line.is_empty()) {
        // A counter's family is named without what its samples end in.
        if let Some((family, " counter")) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_at_checked(rest.find(' ')?))
        {
            let family = family.strip_suffix("_total").unwrap_or(family);
            write!(text, "# TYPE {family} counter").ok();
        } else if line.starts_with("# HELP ") {
            text.push_str(&line.replacen("_total ", " ", 1));
        } else {
            text.push_str(line);
            if let Some(exemplar) = line
                .rsplit_once(' ')
                .and_then(|(series, _)| exemplars.get(series))
            {
                let at = exemplar
                    .at
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                write!(
                    text,
                    " # {{trace_id=\"{}\"}} {} {}.{:03}",
                    exemplar.trace_id,
                    exemplar.seconds,
                    at.as_secs(),
                    at.subsec_millis()
                )
                .ok();
            }
        }
        text.push('\n');
    }
    text.push_str("# EOF\n");
    text
}

#[cfg(test)]
mod tests {
    use metrics::with_local_recorder;
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

    use super::*;

    fn point(id: u128) -> TracePoint {
        TracePoint {
            trace_id: TraceId::from(id),
            span_id: SpanId::from(1),
            flags: TraceFlags::default(),
        }
    }

    #[test]
    fn a_bucket_has_the_trace_of_one_that_fell_into_it() {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
            .unwrap()
            .build_recorder();
        let labels = [
            ("method", "GET".to_owned()),
            ("route", "/a\"b\\c/{id}".to_owned()),
        ];
        let mut exemplars = Exemplars::of("exemplar_test_seconds", &labels);
        with_local_recorder(&recorder, || {
            for (milliseconds, id) in [(3, 1), (4, 2), (90_000, 3)] {
                let elapsed = Duration::from_millis(milliseconds);
                metrics::histogram!("exemplar_test_seconds", &labels).record(elapsed);
                exemplars.offer(elapsed, Some(point(id)));
            }
            metrics::counter!("seen_total").increment(7);
        });
        let text = openmetrics(&recorder.handle().render(), &known());
        let told: Vec<&str> = text.lines().filter(|line| line.contains("trace_id")).collect();
        assert_eq!(told.len(), 2, "{text}");
        let series = r#"exemplar_test_seconds_bucket{method="GET",route="/a\"b\\c/{id}",le="#;
        let first = format!(r#"{series}"0.005"}} 2 # {{trace_id="{:032x}"}} 0.003 "#, 1);
        assert!(told[0].starts_with(&first), "{}", told[0]);
        let last = format!(r#"{series}"+Inf"}} 3 # {{trace_id="{:032x}"}} 90 "#, 3);
        assert!(told[1].starts_with(&last), "{}", told[1]);
        assert!(text.contains("# TYPE seen counter\nseen_total 7\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
    }
}
