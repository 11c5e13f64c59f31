use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use ferrocart_contracts::{Envelope, Topic};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::feed::{Change, Feed};

const RETRY: Duration = Duration::from_secs(1);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a topic from its end on, all partitions, for this process alone, for as long as that is wanted: every gateway
/// needs every event, and what happened before is in the snapshots. No group, so nothing is committed or rebalanced.
/// While Kafka is away the gateway serves everything else.
pub(crate) async fn tail<C: Change>(
    settings: KafkaSettings,
    feed: Feed<C>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let reading = async {
        loop {
            feed.wanted().await;
            match begin(&settings, C::TOPIC).await {
                Ok(consumer) => {
                    feed.set_live(true);
                    tokio::select! {
                        () = feed.unwanted() => {}
                        () = read(&consumer, &feed) => {}
                    }
                    feed.set_live(false);
                }
                Err(error) => {
                    let topic = C::TOPIC.name();
                    tracing::warn!(error = format!("{error:#}"), "{topic} cannot be read yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        () = reading => Ok(()),
    }
}

/// Never ends.
async fn read<C: Change>(consumer: &StreamConsumer, feed: &Feed<C>) {
    loop {
        match consumer.recv().await {
            Ok(message) => {
                if let Some(key) = key(&message) {
                    feed.publish(key, || C::of(&envelope(&message)?, key));
                }
            }
            Err(error) => {
                // librdkafka reconnects by itself and goes on where it was.
                tracing::warn!(%error, "reading {}", C::TOPIC.name());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Fixes the place in every partition from which on nothing is missed.
async fn begin(settings: &KafkaSettings, topic: Topic) -> anyhow::Result<Arc<StreamConsumer>> {
    ensure_topics(settings, None).await?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka_brokers)
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        // librdkafka asks for a name; without subscribing or committing there is no group.
        .set("group.id", format!("{}gateway-tail", settings.kafka_topic_prefix))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest")
        .set("fetch.wait.max.ms", "50")
        .create()
        .context("a consumer")?;
    let consumer = Arc::new(consumer);
    let topic = format!("{}{}", settings.kafka_topic_prefix, topic);
    let asked = Arc::clone(&consumer);
    // The calls of librdkafka that ask the broker block.
    tokio::task::spawn_blocking(move || assign_ends(&asked, &topic)).await??;
    Ok(consumer)
}

fn assign_ends(consumer: &StreamConsumer, topic: &str) -> anyhow::Result<()> {
    let mut places = TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(Some(topic), WATERMARK_TIMEOUT)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions);
    for partition in partitions.map(rdkafka::metadata::MetadataPartition::id) {
        let (_, end) = consumer
            .fetch_watermarks(topic, partition, WATERMARK_TIMEOUT)
            .with_context(|| format!("the end of {topic}/{partition}"))?;
        places.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    anyhow::ensure!(places.count() > 0, "{topic} does not exist yet");
    consumer.assign(&places).context("assigning partitions")
}

/// The key of an event is the id of what it tells of.
fn key(message: &BorrowedMessage<'_>) -> Option<Uuid> {
    std::str::from_utf8(message.key()?).ok()?.parse().ok()
}

/// `None` for a record that is no event.
fn envelope(message: &BorrowedMessage<'_>) -> Option<Envelope> {
    let header = |name: &'static str| {
        let headers = message.headers()?;
        let value = headers.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    };
    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    Envelope::from_headers(header, payload)
        .inspect_err(|error| tracing::debug!(%error, "a record that is no event"))
        .ok()
}
