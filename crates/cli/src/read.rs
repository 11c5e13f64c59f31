//! Reads topics without joining a group: nothing is committed, nobody is disturbed.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ferrocart_contracts::Topic;
use ferrocart_kafka_kit::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);
/// Without a record for so long, though there must be one, the broker is taken to be away.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Where the events are.
#[derive(Debug, Clone, Args)]
pub struct Kafka {
    /// `host:port`, several separated by commas
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9094", global = true)]
    pub brokers: String,
    /// What stands before every topic's and group's name
    #[arg(
        long,
        env = "KAFKA_TOPIC_PREFIX",
        default_value = "",
        hide_default_value = true,
        global = true
    )]
    pub topic_prefix: String,
}

impl Kafka {
    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    pub(crate) fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            kafka_brokers: self.brokers.clone(),
            kafka_topic_prefix: self.topic_prefix.clone(),
            // Nothing is created here.
            kafka_partitions: 1,
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("allow.auto.create.topics", "false");
        config
    }

    /// One that asks, for the given group; it never joins it.
    pub(crate) fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        self.client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .create()
            .context("a Kafka consumer")
    }

    /// The names of all topics with our prefix.
    pub(crate) fn topics(&self, consumer: &BaseConsumer) -> Result<Vec<(String, Vec<i32>)>> {
        let metadata = consumer
            .fetch_metadata(None, CALL_TIMEOUT)
            .with_context(|| format!("asking the broker at {}", self.brokers))?;
        let ours = metadata
            .topics()
            .iter()
            .filter(|topic| topic.name().starts_with(&self.topic_prefix) && !topic.name().starts_with("__"));
        let mut found: Vec<_> = ours
            .map(|topic| {
                let partitions = topic.partitions().iter();
                let ids = partitions.map(rdkafka::metadata::MetadataPartition::id).collect();
                (topic.name().to_owned(), ids)
            })
            .collect();
        found.sort();
        Ok(found)
    }
}

/// A record as it was read.
#[derive(Debug, Clone)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub payload: Option<Vec<u8>>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// From where and up to where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// From the first record of this time on; otherwise from the beginning, or, when following, from the end.
    pub since_ms: Option<i64>,
    /// Goes on with what comes later. Otherwise it ends where the topics end now.
    pub follow: bool,
}

/// Hands record by record over: in order within a partition, in no order between them.
pub fn each(
    kafka: &Kafka,
    topics: &[String],
    bounds: Bounds,
    mut take: impl FnMut(Record) -> Result<ControlFlow<()>>,
) -> Result<()> {
    // librdkafka asks for a name; without subscribing or committing there is no group.
    let consumer = kafka.consumer("ferrocart-cli")?;
    let (places, mut open) = places(kafka, &consumer, topics, bounds)?;
    consumer.assign(&places).context("assigning partitions")?;
    let mut heard = Instant::now();
    while bounds.follow || !open.is_empty() {
        let Some(polled) = consumer.poll(POLL) else {
            ensure!(
                bounds.follow || heard.elapsed() < SILENCE_MAX,
                "no record within {SILENCE_MAX:?}, though {} partitions have more",
                open.len()
            );
            continue;
        };
        heard = Instant::now();
        let record = match polled {
            Ok(message) => Record::of(&message),
            // librdkafka reconnects by itself and goes on where it was.
            Err(error) if bounds.follow => {
                eprintln!("kafka: {error}");
                continue;
            }
            Err(error) => return Err(error).context("reading"),
        };
        let place = (record.topic.clone(), record.partition);
        if !bounds.follow {
            let Some(end) = open.get(&place) else { continue };
            let (at, end) = (record.offset, *end);
            if at + 1 >= end {
                open.remove(&place);
            }
            // Came after we began.
            if at >= end {
                continue;
            }
        }
        if take(record)?.is_break() {
            break;
        }
    }
    Ok(())
}

type Ends = HashMap<(String, i32), i64>;

/// Where reading begins, and the ends of the partitions in which there is something to read.
fn places(
    kafka: &Kafka,
    consumer: &BaseConsumer,
    topics: &[String],
    bounds: Bounds,
) -> Result<(TopicPartitionList, Ends)> {
    let existing = kafka.topics(consumer)?;
    let mut wanted = TopicPartitionList::new();
    for topic in topics {
        let (_, partitions) = existing
            .iter()
            .find(|(name, _)| name == topic)
            .with_context(|| format!("there is no topic {topic} at {}", kafka.brokers))?;
        for partition in partitions {
            let offset = bounds.since_ms.map_or(Offset::End, Offset::Offset);
            wanted.add_partition_offset(topic, *partition, offset)?;
        }
    }
    if bounds.since_ms.is_some() {
        // A partition without a record of that time begins at its end.
        wanted = consumer
            .offsets_for_times(wanted, CALL_TIMEOUT)
            .context("looking the time up")?;
    }
    let mut places = TopicPartitionList::new();
    let mut ends = Ends::new();
    for element in wanted.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, CALL_TIMEOUT)
            .with_context(|| format!("the ends of {topic}/{partition}"))?;
        let begin = match element.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ if bounds.follow || bounds.since_ms.is_some() => high,
            _ => low,
        };
        if begin < high {
            ends.insert((topic.to_owned(), partition), high);
        }
        if begin < high || bounds.follow {
            places.add_partition_offset(topic, partition, Offset::Offset(begin))?;
        }
    }
    Ok((places, ends))
}
