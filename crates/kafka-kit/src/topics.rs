use std::time::Duration;

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use ferrocart_contracts::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::settings::KafkaSettings;

/// Dead letters and replays are few; one partition keeps them in order of arrival.
const DEAD_LETTER_PARTITIONS: i32 = 1;
const DEAD_LETTER_SETTINGS: &[(&str, &str)] = &[("retention.ms", "1209600000")];

/// `<topic>.<group>.dlq`
pub fn dead_letter_topic(settings: &KafkaSettings, topic: Topic, group: &str) -> String {
    format!("{}.{group}.dlq", settings.topic_name(topic))
}

/// `<topic>.<group>.replay`: what is put there is read by that group alone, as if it stood on the topic.
pub fn replay_topic(settings: &KafkaSettings, topic: Topic, group: &str) -> String {
    format!("{}.{group}.replay", settings.topic_name(topic))
}

struct Wanted {
    name: String,
    partitions: i32,
    settings: &'static [(&'static str, &'static str)],
}

/// Creates all event topics, and the dead-letter and replay topics of a consumer group for the topics it reads,
/// with their final partition counts, where they do not exist. Waits for a broker that is not up
/// yet, about a minute at most.
pub async fn ensure_topics(settings: &KafkaSettings, group: Option<(&str, &[Topic])>) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client().create().context("kafka admin client")?;
    let mut wanted: Vec<Wanted> = Topic::ALL
        .iter()
        .map(|topic| Wanted {
            name: settings.topic_name(*topic),
            partitions: settings.kafka_partitions,
            settings: topic.settings(),
        })
        .collect();
    if let Some((group, topics)) = group {
        for name in [dead_letter_topic, replay_topic] {
            wanted.extend(topics.iter().map(|topic| Wanted {
                name: name(settings, *topic, group),
                partitions: DEAD_LETTER_PARTITIONS,
                settings: DEAD_LETTER_SETTINGS,
            }));
        }
    }
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(30);
    (|| create_missing(&admin, &wanted))
        .retry(backoff)
        .notify(|error, wait| tracing::warn!(error = format!("{error:#}"), ?wait, "kafka is not ready yet"))
        .await
}

async fn create_missing(admin: &AdminClient<DefaultClientContext>, wanted: &[Wanted]) -> anyhow::Result<()> {
    let topics: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|topic| {
            // -1: the broker's own default, which is 1 on one machine and 3 on a cluster.
            let mut new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
            for (key, value) in topic.settings {
                new = new.set(key, value);
            }
            new
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(Duration::from_secs(10)))
        .request_timeout(Some(Duration::from_secs(10)));
    for answer in admin
        .create_topics(&topics, &options)
        .await
        .context("create topics")?
    {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => anyhow::bail!("topic {topic}: {code}"),
        }
    }
    Ok(())
}
