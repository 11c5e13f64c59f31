use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use ferrocart_contracts::v1::{
    OrderCancelled, OrderConfirmed, OrderDelivered, OrderPartiallyRefunded, OrderPaymentPending, OrderPlaced,
    OrderRefunded, OrderShipped,
};
use ferrocart_contracts::{Envelope, Event, Topic};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, OrderChange};

const RETRY: Duration = Duration::from_secs(1);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads order-events from their end on, all partitions, for this process alone: every gateway needs every
/// event, and what happened before is in the snapshots. No group, so nothing is committed or rebalanced.
/// While Kafka is away the gateway serves everything else.
pub(crate) async fn tail(
    settings: KafkaSettings,
    feed: Feed,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let consumer = loop {
        let outcome = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            outcome = begin(&settings) => outcome,
        };
        match outcome {
            Ok(consumer) => break consumer,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "order events cannot be read yet");
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY) => {}
        }
    };
    feed.set_live();
    loop {
        let message = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            message = consumer.recv() => message,
        };
        match message {
            Ok(message) => {
                if let Some(change) = change(&message) {
                    feed.publish(change);
                }
            }
            Err(error) => {
                // librdkafka reconnects by itself and goes on where it was.
                tracing::warn!(%error, "reading order events");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Fixes the place in every partition from which on nothing is missed.
async fn begin(settings: &KafkaSettings) -> anyhow::Result<Arc<StreamConsumer>> {
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
        .context("consumer of order events")?;
    let consumer = Arc::new(consumer);
    let topic = format!("{}{}", settings.kafka_topic_prefix, Topic::Order);
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

/// What an event says about its order; `None` for what is no order event that we know.
fn change(message: &BorrowedMessage<'_>) -> Option<OrderChange> {
    let header = |name: &'static str| {
        let headers = message.headers()?;
        let value = headers.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    };
    let envelope = match Envelope::from_headers(header, Bytes::new()) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::debug!(%error, "a record of order-events that is no event");
            return None;
        }
    };
    Some(OrderChange {
        order_id: envelope.subject.parse().ok()?,
        status: status_of(&envelope.event_type)?.to_owned(),
        sequence: envelope.sequence,
        at: envelope.time,
    })
}

/// Every event names the state that its order came into.
fn status_of(event_type: &str) -> Option<&'static str> {
    [
        (OrderPlaced::TYPE, "PLACED"),
        (OrderPaymentPending::TYPE, "PAYMENT_PENDING"),
        (OrderConfirmed::TYPE, "CONFIRMED"),
        (OrderShipped::TYPE, "SHIPPED"),
        (OrderDelivered::TYPE, "DELIVERED"),
        // A part of the money leaves it as it was.
        (OrderPartiallyRefunded::TYPE, "DELIVERED"),
        (OrderRefunded::TYPE, "REFUNDED"),
        (OrderCancelled::TYPE, "CANCELLED"),
    ]
    .into_iter()
    .find_map(|(known, status)| (known == event_type).then_some(status))
}
