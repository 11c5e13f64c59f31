//! The topics, from their beginning to the ends that they have when reading begins.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use ferrocart_contracts::{Envelope, Event as _, Topic, v1};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::rows::{Published, Step};
use crate::sort::Sorter;
use crate::target::KafkaTarget;

const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Without a record for so long the broker is taken to be away.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Below it, the offset's part of an event's place.
const OFFSET_BITS: u32 = 48;
/// Records that could not be read and are told of.
const UNREADABLE_MAX: usize = 20;

/// A topic's events, and what of it could not be read.
#[derive(Debug)]
pub(crate) struct Events<T> {
    pub(crate) by_key: Sorter<T>,
    pub(crate) unreadable: Vec<String>,
}

/// What is kept of an event of orders.
pub(crate) fn order_step(envelope: &Envelope, partition: i32) -> Result<Step> {
    // All events of an order have the order in the same field.
    let order = envelope
        .decode::<v1::OrderDelivered>()?
        .order
        .context("no order in it")?;
    Ok(Step {
        partition,
        sequence: order.sequence,
        status: order.status,
        captured_minor: 0,
        refunded_minor: 0,
    })
}

/// What is kept of an event of payments.
pub(crate) fn payment_step(envelope: &Envelope, partition: i32) -> Result<Step> {
    let payment = envelope
        .decode::<v1::PaymentCaptured>()?
        .payment
        .context("no payment in it")?;
    Ok(Step {
        partition,
        sequence: payment.sequence,
        status: payment.status,
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
    })
}

/// What is kept of an event of a SKU.
pub(crate) fn stock_version(envelope: &Envelope, _: i32) -> Result<Published> {
    let counters = if envelope.event_type == v1::StockUpdated::TYPE {
        let updated = envelope.decode::<v1::StockUpdated>()?;
        Some((updated.on_hand, updated.reserved))
    } else {
        None
    };
    Ok(Published {
        version: envelope.sequence,
        counters,
        deleted: false,
    })
}

/// What is kept of an event of a product.
pub(crate) fn product_version(envelope: &Envelope, _: i32) -> Result<Published> {
    let deleted = envelope.event_type == v1::ProductDeleted::TYPE;
    let version = if deleted {
        envelope.decode::<v1::ProductDeleted>()?.version
    } else {
        let upserted = envelope.decode::<v1::ProductUpserted>()?;
        upserted.product.context("no product in it")?.version
    };
    Ok(Published {
        version,
        counters: None,
        deleted,
    })
}

/// Blocks: call it where that is allowed.
pub(crate) fn read<T: Serialize + DeserializeOwned>(
    kafka: &KafkaTarget,
    topic: Topic,
    keep: impl Fn(&Envelope, i32) -> Result<T>,
    mut progress: impl FnMut(u64),
) -> Result<Events<T>> {
    let name = format!("{}{topic}", kafka.topic_prefix);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        // Never joined, never committed: partitions are assigned by hand.
        .set("group.id", "ferrocart-audit")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .context("a Kafka consumer")?;
    let mut ends = ends(&consumer, &name)?;
    let mut events = Events {
        by_key: Sorter::new(),
        unreadable: Vec::new(),
    };
    let mut silence = Duration::ZERO;
    while !ends.is_empty() {
        match consumer.poll(POLL) {
            None => {
                silence += POLL;
                if silence >= SILENCE_MAX {
                    bail!("{name}: nothing came for {SILENCE_MAX:?}");
                }
            }
            Some(Ok(message)) => {
                silence = Duration::ZERO;
                let (partition, offset) = (message.partition(), message.offset());
                let end = ends.iter().find(|(of, _)| *of == partition).map(|(_, end)| *end);
                if end.is_some_and(|end| offset < end) {
                    events.add(&message, &keep)?;
                }
                if end.is_some_and(|end| offset + 1 >= end) {
                    ends.retain(|(of, _)| *of != partition);
                }
                progress(events.by_key.len());
            }
            // The end may hold no record any more: it was compacted away.
            Some(Err(KafkaError::PartitionEOF(partition))) => ends.retain(|(of, _)| *of != partition),
            // librdkafka goes on by itself; if nothing comes any more, that is noticed.
            Some(Err(_)) => silence += POLL,
        }
    }
    Ok(events)
}

/// The ends of the partitions that are not empty, all of which the consumer then reads from the beginning.
fn ends(consumer: &BaseConsumer, name: &str) -> Result<Vec<(i32, i64)>> {
    let metadata = consumer
        .fetch_metadata(Some(name), CALL_TIMEOUT)
        .with_context(|| format!("ask the broker about {name}"))?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(MetadataPartition::id))
        .collect();
    if partitions.is_empty() {
        bail!("the broker has no topic {name}");
    }
    let mut ends = Vec::new();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = consumer
            .fetch_watermarks(name, partition, CALL_TIMEOUT)
            .with_context(|| format!("ask for the end of {name}/{partition}"))?;
        if high > low {
            ends.push((partition, high));
            list.add_partition_offset(name, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&list).with_context(|| format!("assign {name}"))?;
    Ok(ends)
}

impl<T: Serialize + DeserializeOwned> Events<T> {
    fn add(&mut self, message: &impl Message, keep: &impl Fn(&Envelope, i32) -> Result<T>) -> Result<()> {
        match parse(message, keep) {
            Ok((key, place, event)) => self.by_key.push(key, place, event),
            Err(error) => {
                if self.unreadable.len() < UNREADABLE_MAX {
                    let (partition, offset) = (message.partition(), message.offset());
                    self.unreadable
                        .push(format!("the record {partition}/{offset}: {error:#}"));
                }
                Ok(())
            }
        }
    }
}

fn parse<T>(message: &impl Message, keep: impl Fn(&Envelope, i32) -> Result<T>) -> Result<(Uuid, u64, T)> {
    let header = |name: &'static str| {
        let headers = message.headers()?;
        let value = headers.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    };
    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let envelope = Envelope::from_headers(header, payload)?;
    let key = message.key().unwrap_or_default();
    if key != envelope.subject.as_bytes() {
        bail!("its key is not its subject {}", envelope.subject);
    }
    let key: Uuid = envelope.subject.parse().context("its subject is no UUID")?;
    let partition = u64::try_from(message.partition()).context("its partition")?;
    let offset = u64::try_from(message.offset()).context("its offset")?;
    Ok((
        key,
        (partition << OFFSET_BITS) | offset,
        keep(&envelope, message.partition())?,
    ))
}
