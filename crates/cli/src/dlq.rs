//! Dead letters: events that a group could not apply, with the reason in their headers.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result, ensure};
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::dead_letter_topic;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use uuid::Uuid;

use crate::decode::Decoder;
use crate::read::{Bounds, CALL_TIMEOUT, Kafka, Record, each};
use crate::replay::Replayer;

/// The dead letters of one group and topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letters {
    pub topic: Topic,
    pub group: String,
    pub count: i64,
}

/// All that there are; groups without any are left out.
pub fn list(kafka: &Kafka) -> Result<Vec<Letters>> {
    let consumer = kafka.consumer("ferrocart-cli")?;
    let mut found = Vec::new();
    for (name, partitions) in kafka.topics(&consumer)? {
        let Some((topic, group)) = parts(kafka, &name) else {
            continue;
        };
        let mut count = 0;
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&name, partition, CALL_TIMEOUT)?;
            count += high - low;
        }
        if count > 0 {
            found.push(Letters { topic, group, count });
        }
    }
    Ok(found)
}

/// `<topic>.<group>.dlq`
fn parts(kafka: &Kafka, name: &str) -> Option<(Topic, String)> {
    let own = name.strip_prefix(&kafka.topic_prefix)?.strip_suffix(".dlq")?;
    Topic::ALL.into_iter().find_map(|topic| {
        let group = own.strip_prefix(topic.name())?.strip_prefix('.')?;
        Some((topic, group.to_owned()))
    })
}

/// The letters of one group, oldest first.
pub fn letters(kafka: &Kafka, topic: Topic, group: &str) -> Result<Vec<Record>> {
    let name = dead_letter_topic(&kafka.settings(), topic, group);
    let mut found = Vec::new();
    each(kafka, &[name], Bounds::default(), |record| {
        found.push(record);
        Ok(ControlFlow::Continue(()))
    })?;
    found.sort_by_key(|record| record.offset);
    Ok(found)
}

/// The event, decoded, with what is known of its failure.
pub fn json(decoder: &Decoder, letter: &Record) -> Value {
    let mut line = decoder.json(letter);
    for (field, header) in [
        ("error", "dlq_error"),
        ("tries", "dlq_tries"),
        ("from", "dlq_position"),
    ] {
        line[field] = letter.header(header).map_or(Value::Null, Value::from);
    }
    line
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    pub replayed: usize,
    /// How many were taken off the dead-letter topic.
    pub removed: usize,
}

/// Has the group read its letters again: those at the offsets, or all. What is replayed from the head of the topic
/// on is removed from it; a letter further behind stays, since a topic is cut at its head alone.
pub async fn replay(
    kafka: &Kafka,
    topic: Topic,
    group: &str,
    offsets: &[i64],
    run: Uuid,
) -> Result<Replayed> {
    let all = letters(kafka, topic, group)?;
    for offset in offsets {
        ensure!(
            all.iter().any(|letter| letter.offset == *offset),
            "there is no dead letter at offset {offset}"
        );
    }
    let meant = |letter: &Record| offsets.is_empty() || offsets.contains(&letter.offset);
    let chosen: Vec<Record> = all.iter().filter(|letter| meant(letter)).cloned().collect();
    Replayer::new(kafka, topic, group)?.put(&chosen, run).await?;
    let head: Vec<&Record> = all.iter().take_while(|letter| meant(letter)).collect();
    if let Some(last) = head.last() {
        cut(kafka, &last.topic, last.partition, last.offset + 1).await?;
    }
    Ok(Replayed {
        replayed: chosen.len(),
        removed: head.len(),
    })
}

async fn cut(kafka: &Kafka, topic: &str, partition: i32, before: i64) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().context("a Kafka admin client")?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let options = AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT));
    admin
        .delete_records(&places, &options)
        .await
        .context("removing the replayed letters; they were replayed, and can be again")?;
    Ok(())
}
