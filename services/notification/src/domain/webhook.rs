use chrono::TimeDelta;
use ferrocart_types::{EndpointId, Timestamp, UserId};
use uuid::Uuid;

named! {
    /// What a merchant is told of.
    EventType {
        OrderConfirmed = "order.confirmed",
        OrderShipped = "order.shipped",
        OrderDelivered = "order.delivered",
        /// Of orders that were confirmed before.
        OrderCancelled = "order.cancelled",
        OrderPartiallyRefunded = "order.partially_refunded",
        OrderRefunded = "order.refunded",
        /// Made or changed in any way.
        ProductUpdated = "product.updated",
        ProductDeleted = "product.deleted",
        StockLow = "stock.low",
        /// Sent on request alone.
        Test = "webhook.test",
    }
}

named! {
    EndpointStatus {
        Enabled = "ENABLED",
        /// Nothing is sent to it, and what happens meanwhile is not sent later.
        Disabled = "DISABLED",
    }
}

named! {
    DisabledReason {
        Owner = "OWNER",
        /// It failed for too long.
        Failing = "FAILING",
        /// It answered 410.
        Gone = "GONE",
    }
}

named! {
    DeliveryStatus {
        /// Tried again until it succeeds or the tries are used up.
        Pending = "PENDING",
        /// Answered with 2xx.
        Delivered = "DELIVERED",
        /// Given up; it can be redelivered.
        Failed = "FAILED",
    }
}

/// Where a merchant is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) merchant_id: UserId,
    pub(crate) url: String,
    pub(crate) description: String,
    /// Empty: all.
    pub(crate) event_types: Vec<EventType>,
    pub(crate) status: EndpointStatus,
    pub(crate) disabled_reason: Option<DisabledReason>,
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Endpoint {
    pub(crate) fn is_enabled(&self) -> bool {
        self.status == EndpointStatus::Enabled
    }

    /// Whether it is told of an event that happened then.
    pub(crate) fn wants(&self, event: EventType, at: Timestamp) -> bool {
        self.is_enabled()
            && self.created_at <= at
            && (self.event_types.is_empty() || self.event_types.contains(&event))
    }
}

/// What one merchant is told of one event, and where.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) message_id: Uuid,
    pub(crate) merchant_id: UserId,
    pub(crate) event_type: EventType,
    pub(crate) body: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) created_at: Timestamp,
    /// The ids of the deliveries, each with its endpoint.
    pub(crate) deliveries: Vec<(Uuid, EndpointId)>,
}

/// When a delivery that failed is tried again.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    waits: Vec<TimeDelta>,
}

/// No receiver puts us off for longer.
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::days(1);

impl Schedule {
    pub(crate) fn new(retry_seconds: &[u32]) -> Self {
        Self {
            waits: retry_seconds
                .iter()
                .map(|seconds| TimeDelta::seconds((*seconds).into()))
                .collect(),
        }
    }

    /// After so many tries; `None` when there are no more. `jitter`, from 0 to 1000, lengthens the wait by up to a
    /// fifth, so that an outage's backlog does not come back all at once. A receiver that said when is not asked
    /// earlier.
    pub(crate) fn after(
        &self,
        attempts: u32,
        retry_after: Option<TimeDelta>,
        now: Timestamp,
        jitter: i32,
    ) -> Option<Timestamp> {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = *self.waits.get(index)?;
        let wait = wait + wait / 5 * jitter.clamp(0, 1000) / 1000;
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Some(now + wait.max(asked))
    }
}

/// When an endpoint that fails is taken out of service.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) failures: u32,
    pub(crate) time: TimeDelta,
}

impl Patience {
    /// Both: a few tries of a quiet endpoint say little, and an outage of an hour may bring thousands.
    pub(crate) fn is_over(&self, failures: u32, failing_since: Timestamp, now: Timestamp) -> bool {
        failures >= self.failures && now - failing_since >= self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tries_are_spread_over_hours_and_end() {
        let schedule = Schedule::new(&[5, 300, 7_200]);
        let now = Timestamp::UNIX_EPOCH;
        let wait = |attempts, jitter| {
            let at = schedule.after(attempts, None, now, jitter)?;
            Some((at - now).num_seconds())
        };
        assert_eq!(
            (wait(1, 0), wait(2, 0), wait(3, 0)),
            (Some(5), Some(300), Some(7_200))
        );
        assert_eq!((wait(2, 1000), wait(3, 500)), (Some(360), Some(7_920)));
        assert_eq!((wait(4, 0), wait(u32::MAX, 0)), (None, None));
        let asked = |seconds| {
            let at = schedule.after(1, Some(TimeDelta::seconds(seconds)), now, 0);
            (at.unwrap() - now).num_seconds()
        };
        assert_eq!((asked(1), asked(60), asked(10_000_000)), (5, 60, 86_400));
    }

    #[test]
    fn patience_ends_after_many_failures_over_a_long_time() {
        let patience = Patience {
            failures: 3,
            time: TimeDelta::hours(2),
        };
        let (start, later) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + TimeDelta::hours(2));
        assert!(patience.is_over(3, start, later));
        assert!(!patience.is_over(2, start, later));
        assert!(!patience.is_over(300, start, later - TimeDelta::seconds(1)));
    }
}
