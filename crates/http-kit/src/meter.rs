//! What is counted and logged of requests, at a cost that a flood of them can bear.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use actix_web::http::{Method, StatusCode};
use ferrocart_telemetry::{Exemplars, TracePoint};
use metrics::{Counter, Histogram};

/// A method and a status.
type Kind = (&'static str, u16);

/// The metrics of one kind of request.
struct Meters {
    requests: Counter,
    duration: Histogram,
    exemplars: Exemplars,
}

impl Meters {
    fn count(&mut self, elapsed: Duration, point: Option<TracePoint>) {
        self.requests.increment(1);
        self.duration.record(elapsed);
        self.exemplars.offer(elapsed, point);
    }
}

/// Counts requests. It keeps the metrics that it has looked up once: finding them by their labels costs
/// more than counting does. One for each thread, so that none waits for another.
#[derive(Default)]
pub(crate) struct Recorder {
    routes: HashMap<String, Vec<(Kind, Meters)>>,
}

impl Recorder {
    pub(crate) fn count(
        &mut self,
        (method, route, status): (&Method, &str, StatusCode),
        elapsed: Duration,
        point: Option<TracePoint>,
    ) {
        let kind = (label(method), status.as_u16());
        if let Some(meters) = self.find(route, kind) {
            meters.count(elapsed, point);
            return;
        }
        let labels = [
            ("method", kind.0.to_owned()),
            ("route", route.to_owned()),
            ("status", kind.1.to_string()),
        ];
        let mut meters = Meters {
            requests: metrics::counter!("http_requests_total", &labels),
            duration: metrics::histogram!("http_request_duration_seconds", &labels),
            exemplars: Exemplars::of("http_request_duration_seconds", &labels),
        };
        meters.count(elapsed, point);
        self.routes
            .entry(route.to_owned())
            .or_default()
            .push((kind, meters));
    }

    fn find(&mut self, route: &str, kind: Kind) -> Option<&mut Meters> {
        let known = self.routes.get_mut(route)?;
        known
            .iter_mut()
            .find(|(other, _)| *other == kind)
            .map(|(_, meters)| meters)
    }
}

/// A client may send any word as a method; as labels there are only so many.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("OTHER")
}

/// Bounds the lines of a log: so many a second, and then one that says how many there were more.
pub(crate) struct LogBudget {
    per_second: u32,
    /// In seconds of Unix time.
    second: AtomicU64,
    taken: AtomicU32,
}

impl LogBudget {
    pub(crate) const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            second: AtomicU64::new(0),
            taken: AtomicU32::new(0),
        }
    }

    /// Whether there is a line left in this second.
    pub(crate) fn takes_one(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (takes, left_out) = self.take_at(now.unwrap_or_default().as_secs());
        if left_out > 0 {
            tracing::info!(left_out, "more requests than are logged one by one");
        }
        takes
    }

    /// Whether there is a line left, and, once in a new second, how many found none in the one before. What
    /// is counted while the second turns may go to either.
    fn take_at(&self, now: u64) -> (bool, u32) {
        let before = self.second.load(Ordering::Relaxed);
        let mut left_out = 0;
        if before != now
            && self
                .second
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            left_out = self
                .taken
                .swap(0, Ordering::Relaxed)
                .saturating_sub(self.per_second);
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        (taken < self.per_second, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_lines_and_the_next_one_tells_of_the_rest() {
        let budget = LogBudget::new(2);
        let taken: Vec<_> = [7, 7, 7, 7, 8, 8, 8, 9]
            .into_iter()
            .map(|second| budget.take_at(second))
            .collect();
        let expected = [
            (true, 0),
            (true, 0),
            (false, 0),
            (false, 0),
            (true, 2),
            (true, 0),
            (false, 0),
            (true, 1),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn words_that_clients_make_up_become_no_labels() {
        assert_eq!(label(&Method::PATCH), "PATCH");
        assert_eq!(label(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
    }
}
