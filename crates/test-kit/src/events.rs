use std::time::{Duration, Instant};

use bytes::Bytes;
use ferrocart_contracts::{Envelope, Event, Topic};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use ferrocart_types::{Clock, EventId, SystemClock};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::keys::fresh_uuid;

const DEADLINE: Duration = Duration::from_secs(20);

/// A topic read from its beginning by an ordinary consumer.
pub struct EventLog {
    consumer: StreamConsumer,
    seen: Vec<Envelope>,
}

impl EventLog {
    pub fn open(settings: &KafkaSettings, topic: Topic) -> Self {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.kafka_brokers)
            .set("group.id", fresh_uuid().to_string())
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "20")
            // The topic may be created only now, by the service under test.
            .set("topic.metadata.refresh.interval.ms", "200")
            .set("allow.auto.create.topics", "false")
            .create()
            .expect("a consumer");
        let name = format!("{}{topic}", settings.kafka_topic_prefix);
        let mut partitions = TopicPartitionList::new();
        for partition in 0..settings.kafka_partitions {
            partitions
                .add_partition_offset(&name, partition, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&partitions).expect("assigning partitions");
        Self {
            consumer,
            seen: Vec::new(),
        }
    }

    /// Reads on until `enough` says so of all events read so far; panics after 20 s.
    pub async fn until(&mut self, what: &str, enough: impl Fn(&[Envelope]) -> bool) -> &[Envelope] {
        let started = Instant::now();
        while !enough(&self.seen) {
            assert!(
                started.elapsed() < DEADLINE,
                "waited {DEADLINE:?} in vain: {what}; seen: {:?}",
                self.seen
                    .iter()
                    .map(|event| &event.event_type)
                    .collect::<Vec<_>>()
            );
            if let Ok(Ok(message)) =
                tokio::time::timeout(Duration::from_millis(200), self.consumer.recv()).await
            {
                let header = |name: &'static str| {
                    let headers = message.headers()?;
                    let value = headers.iter().find(|header| header.key == name)?.value?;
                    std::str::from_utf8(value).ok()
                };
                let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                self.seen
                    .push(Envelope::from_headers(header, payload).expect("a CloudEvents record"));
            }
        }
        &self.seen
    }

    /// Waits for the first event of the type that `wanted` likes.
    pub async fn find<E: Event>(&mut self, wanted: impl Fn(&E) -> bool) -> (Envelope, E) {
        let pick = |events: &[Envelope]| {
            events
                .iter()
                .filter(|event| event.event_type == E::TYPE)
                .map(|event| (event.clone(), event.decode::<E>().expect("a payload of its type")))
                .find(|(_, message)| wanted(message))
        };
        let events = self.until(E::TYPE, |events| pick(events).is_some()).await;
        pick(events).expect("found just now")
    }
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog")
            .field("seen", &self.seen.len())
            .finish_non_exhaustive()
    }
}

pub(crate) async fn publish<E: Event>(settings: &KafkaSettings, source: &str, event: &E) -> EventId {
    ensure_topics(settings, None).await.expect("the topics");
    let envelope = Envelope::new(source, EventId(fresh_uuid()), SystemClock.now(), event);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka_brokers)
        .set("acks", "all")
        .create()
        .expect("a producer");
    let topic = format!("{}{}", settings.kafka_topic_prefix, E::TOPIC);
    let mut headers = OwnedHeaders::new();
    for (key, value) in envelope.headers() {
        headers = headers.insert(Header {
            key,
            value: Some(value.as_str()),
        });
    }
    let record = FutureRecord::to(&topic)
        .key(&envelope.subject)
        .payload(envelope.payload.as_ref())
        .headers(headers);
    producer
        .send(record, Duration::from_secs(10))
        .await
        .expect("the broker's acknowledgement");
    envelope.id
}
