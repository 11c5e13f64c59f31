//! The comparisons: what was read goes in, violations come out. No I/O.

pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod sku;
pub(crate) mod trail;

use chrono::TimeDelta;
use ferrocart_contracts::Topic;
use ferrocart_types::Timestamp;

use crate::finding::{Promise, Subject, Violation};

/// By which times are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// When the stores were looked at.
    pub(crate) now: Timestamp,
    /// How old something unfinished may be, and how new something is that is not compared across stores.
    pub(crate) grace: TimeDelta,
    /// How long a customer may take to act on a payment.
    pub(crate) action_max: TimeDelta,
}

/// A change bears the time at which it was decided; its transaction may commit this much later.
const COMMIT_MAX: TimeDelta = TimeDelta::seconds(5);

/// The broker deletes whole segments, some of them early in the eyes of this machine's clock.
const RETENTION_MARGIN: TimeDelta = TimeDelta::hours(1);

impl Moment {
    pub(crate) fn is_recent(&self, at: Timestamp) -> bool {
        self.is_within(at, self.grace)
    }

    /// Whether what changed then may not have been seen when the stores were looked at.
    pub(crate) fn may_be_unseen(&self, at: Timestamp) -> bool {
        self.is_within(at, self.grace.max(COMMIT_MAX))
    }

    fn is_within(&self, at: Timestamp, age: TimeDelta) -> bool {
        self.now.signed_duration_since(at) < age
    }

    /// Whether what was published then is still in the topic. Compaction keeps the newest for ever.
    pub(crate) fn is_kept(&self, topic: Topic, at: Timestamp) -> bool {
        let retention = topic
            .settings()
            .iter()
            .find(|(name, _)| *name == "retention.ms")
            .and_then(|(_, value)| value.parse().ok())
            .map(TimeDelta::milliseconds);
        retention.is_none_or(|retention| self.is_within(at, retention - RETENTION_MARGIN))
    }
}

/// Collects the violations of one subject.
#[derive(Debug)]
pub(crate) struct Verdict {
    subject: Subject,
    pub(crate) violations: Vec<Violation>,
    /// It changed too recently to be compared across stores.
    pub(crate) too_recent: bool,
}

impl Verdict {
    pub(crate) fn on(subject: Subject) -> Self {
        Self {
            subject,
            violations: Vec::new(),
            too_recent: false,
        }
    }

    pub(crate) fn add(&mut self, promise: Promise, kind: &'static str, detail: impl Into<String>) {
        self.violations.push(Violation {
            promise,
            kind,
            subject: self.subject.clone(),
            detail: detail.into(),
        });
    }
}
