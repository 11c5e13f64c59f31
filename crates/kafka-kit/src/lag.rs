//! How far a member is behind, as librdkafka tells it every few seconds.

use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::statistics::{Partition, Statistics};

use crate::settings::KafkaSettings;

pub(crate) struct Lag {
    group: String,
    prefix: String,
}

impl Lag {
    pub(crate) fn new(settings: &KafkaSettings, group: &str) -> Self {
        Self {
            group: group.to_owned(),
            prefix: settings.kafka_topic_prefix.clone(),
        }
    }
}

impl ClientContext for Lag {
    fn stats(&self, statistics: Statistics) {
        for (name, behind) in behind(&statistics) {
            let topic = name.strip_prefix(&self.prefix).unwrap_or(name).to_owned();
            let behind = f64::from(u32::try_from(behind).unwrap_or(u32::MAX));
            metrics::gauge!("kafka_consumer_lag", "topic" => topic, "group" => self.group.clone())
                .set(behind);
        }
    }
}

impl ConsumerContext for Lag {}

/// Events by topic that this member's partitions hold beyond what it has applied. Partitions of other members are
/// theirs to tell, so that the sum over all members is the group's lag.
fn behind(statistics: &Statistics) -> impl Iterator<Item = (&str, i64)> {
    statistics.topics.values().map(|topic| {
        let mine = topic
            .partitions
            .values()
            .filter(|partition| partition.fetch_state == "active");
        (topic.topic.as_str(), mine.map(behind_in).sum())
    })
}

/// librdkafka says -1 for what it does not know: of a group that has applied nothing yet, all that is there waits.
fn behind_in(partition: &Partition) -> i64 {
    [partition.consumer_lag_stored, partition.consumer_lag]
        .into_iter()
        .find(|lag| *lag >= 0)
        .unwrap_or_else(|| (partition.hi_offset - partition.lo_offset.max(0)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_has_applied_nothing_is_behind_by_all_there_is() {
        let partition = |lag: i64, stored: i64| Partition {
            consumer_lag: lag,
            consumer_lag_stored: stored,
            lo_offset: 10,
            hi_offset: 50,
            ..Partition::default()
        };
        assert_eq!(behind_in(&partition(-1, -1)), 40);
        assert_eq!(behind_in(&partition(7, -1)), 7);
        assert_eq!(behind_in(&partition(7, 3)), 3);
        assert_eq!(behind_in(&partition(-1, 0)), 0);
    }
}
