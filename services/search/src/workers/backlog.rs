use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferrocart_kafka_kit::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use crate::app::Followed;
use crate::consumers::{TOPICS, group};

const PERIOD: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const UNKNOWN: u64 = u64::MAX;

/// How many events wait to be indexed; kept up to date by [`watch`].
#[derive(Debug)]
pub(crate) struct Backlog {
    events_behind: AtomicU64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            events_behind: AtomicU64::new(UNKNOWN),
        }
    }
}

impl Backlog {
    /// `None` while the broker has not said.
    pub(crate) fn events_behind(&self) -> Option<u64> {
        Some(self.events_behind.load(Ordering::Relaxed)).filter(|behind| *behind != UNKNOWN)
    }
}

/// Reports the index's size and backlog until the token is cancelled.
pub(crate) async fn watch(
    index: Followed,
    kafka: KafkaSettings,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let Followed { engine, backlog } = index;
    let group = group(engine.index_id());
    let observer = Arc::new(Observer::new(&kafka, &group)?);
    loop {
        let watched = Arc::clone(&observer);
        // librdkafka's questions block.
        let behind = tokio::task::spawn_blocking(move || watched.events_behind()).await?;
        match behind {
            Ok(behind) => {
                backlog.events_behind.store(behind, Ordering::Relaxed);
                gauge("search_events_behind", behind);
            }
            Err(error) => {
                backlog.events_behind.store(UNKNOWN, Ordering::Relaxed);
                tracing::debug!(%error, "the backlog is unknown");
            }
        }
        match engine.documents().await {
            Ok(documents) => gauge("search_documents", documents),
            Err(error) => tracing::debug!(%error, "the index's size is unknown"),
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
}

/// Looks at the group's offsets without being a member.
struct Observer {
    consumer: BaseConsumer,
    topics: Vec<(String, i32)>,
}

impl Observer {
    fn new(kafka: &KafkaSettings, group: &str) -> KafkaResult<Self> {
        let prefix = &kafka.kafka_topic_prefix;
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &kafka.kafka_brokers)
            .set("group.id", format!("{prefix}{group}"))
            .set("allow.auto.create.topics", "false")
            .create()?;
        let topics = TOPICS.map(|topic| (format!("{prefix}{topic}"), kafka.kafka_partitions));
        Ok(Self {
            consumer,
            topics: topics.to_vec(),
        })
    }

    fn events_behind(&self) -> KafkaResult<u64> {
        let mut asked = TopicPartitionList::new();
        for (topic, partitions) in &self.topics {
            asked.add_partition_range(topic, 0, partitions - 1);
        }
        let committed = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT)?;
        let mut behind = 0;
        for partition in committed.elements() {
            let (first, end) =
                self.consumer
                    .fetch_watermarks(partition.topic(), partition.partition(), ANSWER_TIMEOUT)?;
            let next = match partition.offset() {
                Offset::Offset(next) => next.max(first),
                _ => first,
            };
            behind += u64::try_from(end - next).unwrap_or(0);
        }
        Ok(behind)
    }
}
