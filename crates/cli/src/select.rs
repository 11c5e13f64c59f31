//! Which events are meant.

use chrono::TimeDelta;
use clap::Args;
use ferrocart_contracts::{EVENT_TYPES, Topic};
use ferrocart_types::{Clock as _, SystemClock, Timestamp};

use crate::read::Record;

#[derive(Debug, Clone, Default, Args)]
pub struct Select {
    /// Only this topic, such as `order` or `order-events`; repeatable
    #[arg(long = "topic", value_parser = topic)]
    pub topics: Vec<Topic>,
    /// Only events of this key: an order's, SKU's or product's id; repeatable
    #[arg(long = "key")]
    pub keys: Vec<String>,
    /// Only events of this type, such as `OrderConfirmed`; repeatable
    #[arg(long = "type", value_parser = event_type)]
    pub types: Vec<String>,
    /// Only what was published since: `2026-11-26T08:00:00Z`, or `15m`, `2h`, `1d` ago
    #[arg(long, value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only what was published before
    #[arg(long, value_parser = moment)]
    pub until: Option<Timestamp>,
}

impl Select {
    /// The chosen topics; all without a choice.
    pub fn topics(&self) -> Vec<Topic> {
        if self.topics.is_empty() {
            Topic::ALL.to_vec()
        } else {
            self.topics.clone()
        }
    }

    pub fn likes(&self, record: &Record) -> bool {
        let key = || record.key.as_deref().unwrap_or_default();
        let event_type = || record.header("ce_type").unwrap_or_default();
        let until = self.until.map(|until| until.timestamp_millis());
        (self.keys.is_empty() || self.keys.iter().any(|wanted| wanted == key()))
            && (self.types.is_empty() || self.types.iter().any(|wanted| wanted == event_type()))
            && until.is_none_or(|until| record.timestamp_ms.is_none_or(|at| at < until))
    }
}

/// By its name, or what stands before `-events`.
pub fn topic(text: &str) -> Result<Topic, String> {
    let named = |topic: &Topic| topic.name() == text || topic.name().strip_suffix("-events") == Some(text);
    let found = Topic::ALL.into_iter().find(named);
    found.ok_or_else(|| "one of order, inventory, payment, catalog is expected".to_owned())
}

fn event_type(text: &str) -> Result<String, String> {
    let found = EVENT_TYPES
        .iter()
        .find(|known| known.name == text || known.message == text);
    found
        .map(|known| known.name.to_owned())
        .ok_or_else(|| format!("no such type; there are {}", known_types()))
}

fn known_types() -> String {
    let names: Vec<&str> = EVENT_TYPES.iter().map(|known| known.message).collect();
    names.join(", ")
}

fn moment(text: &str) -> Result<Timestamp, String> {
    moment_before(SystemClock.now(), text)
}

fn moment_before(now: Timestamp, text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let seconds_of = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let ago = text.char_indices().next_back().and_then(|(at, unit)| {
        let count: u32 = text.get(..at)?.parse().ok()?;
        now.checked_sub_signed(TimeDelta::seconds(i64::from(count) * seconds_of(unit)?))
    });
    ago.ok_or_else(|| {
        "a time such as 2026-11-26T08:00:00Z, or so long ago as 15m, 2h, 1d, is expected".to_owned()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_so_long_ago() {
        let now = moment("2026-11-26T08:00:00Z").unwrap();
        let is = |text: &str, time: &str| {
            assert_eq!(moment_before(now, text).unwrap(), moment(time).unwrap(), "{text}");
        };
        is("15m", "2026-11-26T07:45:00Z");
        is("2h", "2026-11-26T06:00:00Z");
        is("1d", "2026-11-25T08:00:00Z");
        is("2026-11-26T09:00:00+01:00", "2026-11-26T08:00:00Z");
        for wrong in ["", "m", "15", "15x", "-3m", "15€"] {
            assert!(moment_before(now, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn topics_and_types_have_short_names() {
        assert_eq!(topic("order"), Ok(Topic::Order));
        assert_eq!(topic("order-events"), Ok(Topic::Order));
        assert!(topic("orders").is_err());
        assert_eq!(
            event_type("OrderShipped").unwrap(),
            "ferrocart.order.v1.OrderShipped"
        );
        assert!(event_type("OrderLost").unwrap_err().contains("OrderShipped"));
    }
}
