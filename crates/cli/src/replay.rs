//! Has one consumer group read events again: they are copied to its own replay topic, so that no other group, and no
//! compacted topic, sees an old event as a new one.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::replay_topic;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::read::{Bounds, Kafka, Record, each};
use crate::select::Select;

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Records under way at once.
const BATCH: usize = 500;

/// Puts records on the replay topic of a group.
pub struct Replayer {
    producer: FutureProducer,
    topic: String,
    /// Gives each record an id of its own, so that the group's inbox does not know it.
    pub even_if_applied: bool,
}

impl Replayer {
    /// Refuses a group that does not read the topic.
    pub fn new(kafka: &Kafka, topic: Topic, group: &str) -> Result<Self> {
        let name = replay_topic(&kafka.settings(), topic, group);
        let existing = kafka.topics(&kafka.consumer("ferrocart-cli")?)?;
        ensure!(
            existing.iter().any(|(known, _)| *known == name),
            "no group {group} reads {topic}: there is no topic {name}"
        );
        Ok(Self {
            producer: kafka
                .client()
                .set("enable.idempotence", "true")
                .set("acks", "all")
                .create()
                .context("a Kafka producer")?,
            topic: name,
            even_if_applied: false,
        })
    }

    /// In order; returns when the broker has them all.
    pub async fn put(&self, records: &[Record], run: Uuid) -> Result<()> {
        for chunk in records.chunks(BATCH) {
            let mut sent = Vec::with_capacity(chunk.len());
            for record in chunk {
                let headers = self.headers(record, run);
                let mut copy: FutureRecord<'_, str, [u8]> = FutureRecord::to(&self.topic).headers(headers);
                if let Some(key) = &record.key {
                    copy = copy.key(key);
                }
                if let Some(payload) = &record.payload {
                    copy = copy.payload(payload);
                }
                let queued = self.producer.send_result(copy).map_err(|(error, _)| error);
                sent.push(queued.context("queueing a replay")?);
            }
            for delivery in sent {
                tokio::time::timeout(SEND_TIMEOUT, delivery)
                    .await
                    .context("the broker does not acknowledge")?
                    .context("the producer went away")?
                    .map_err(|(error, _)| error)
                    .context("putting a replay")?;
            }
        }
        Ok(())
    }

    /// As they were, without what was added to a dead letter.
    fn headers(&self, record: &Record, run: Uuid) -> OwnedHeaders {
        let position = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            if name.starts_with("dlq_") || name == "replay_of" {
                continue;
            }
            let fresh = (self.even_if_applied && name == "ce_id")
                .then(|| Uuid::new_v5(&run, value).to_string().into_bytes());
            let value = fresh.as_ref().unwrap_or(value);
            headers = headers.insert(Header {
                key: name,
                value: Some(value),
            });
        }
        headers.insert(Header {
            key: "replay_of",
            value: Some(&position),
        })
    }
}

/// The chosen events of one topic, at most `limit`.
pub fn chosen(kafka: &Kafka, topic: Topic, select: &Select, limit: usize) -> Result<Vec<Record>> {
    let bounds = Bounds {
        since_ms: select.since.map(|since| since.timestamp_millis()),
        follow: false,
    };
    let mut found = Vec::new();
    each(kafka, &[kafka.topic(topic)], bounds, |record| {
        if select.likes(&record) {
            ensure!(
                found.len() < limit,
                "more than {limit} events are meant; choose fewer, or raise --limit"
            );
            found.push(record);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
