//! How far each consumer group is behind, asked of the broker: also of groups of which no member lives.

use anyhow::{Context as _, Result};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::read::{CALL_TIMEOUT, Kafka};

/// One topic of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    pub group: String,
    pub topic: String,
    /// Events that it has not applied.
    pub behind: i64,
    /// Members of the group that are connected now.
    pub members: usize,
}

/// Of all groups with our prefix, or of one; only topics that the group has read.
pub fn lags(kafka: &Kafka, group: Option<&str>) -> Result<Vec<Lag>> {
    let asking = kafka.consumer("ferrocart-cli")?;
    let topics = kafka.topics(&asking)?;
    let groups = asking
        .fetch_group_list(None, CALL_TIMEOUT)
        .context("the broker's groups")?;
    let mut lags = Vec::new();
    for known in groups.groups() {
        let Some(name) = known.name().strip_prefix(&kafka.topic_prefix) else {
            continue;
        };
        if group.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let member = kafka.consumer(known.name())?;
        for (topic, partitions) in &topics {
            let mut asked = TopicPartitionList::new();
            for partition in partitions {
                asked.add_partition(topic, *partition);
            }
            let committed = member
                .committed_offsets(asked, CALL_TIMEOUT)
                .with_context(|| format!("the offsets of {name}"))?;
            let mut behind = None;
            for element in committed.elements() {
                let (low, high) = member.fetch_watermarks(topic, element.partition(), CALL_TIMEOUT)?;
                if let Offset::Offset(offset) = element.offset() {
                    *behind.get_or_insert(0) += high - offset.clamp(low, high);
                }
            }
            if let Some(behind) = behind {
                lags.push(Lag {
                    group: name.to_owned(),
                    topic: topic.clone(),
                    behind,
                    members: known.members().len(),
                });
            }
        }
    }
    lags.sort_by(|a, b| (&a.group, &a.topic).cmp(&(&b.group, &b.topic)));
    Ok(lags)
}
