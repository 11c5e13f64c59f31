use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use ferrocart_contracts::Topic;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use tokio::sync::OnceCell;

use crate::settings::KafkaSettings;
use crate::topics::dead_letter_topic;

const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts records aside that a group could not apply: the whole original, with the failure in headers.
pub(crate) struct DeadLetters {
    /// Made for the first record: most groups never put one aside, and a producer polls all the time.
    producer: OnceCell<FutureProducer>,
    settings: KafkaSettings,
    group: String,
}

impl DeadLetters {
    pub(crate) fn new(settings: &KafkaSettings, group: &str) -> Self {
        Self {
            producer: OnceCell::new(),
            settings: settings.clone(),
            group: group.to_owned(),
        }
    }

    fn connect(&self) -> anyhow::Result<FutureProducer> {
        self.settings
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .create()
            .context("dead-letter producer")
    }

    pub(crate) async fn put(
        &self,
        topic: Topic,
        message: &BorrowedMessage<'_>,
        tries: u32,
        error: &str,
    ) -> anyhow::Result<()> {
        let producer = self.producer.get_or_try_init(async || self.connect()).await?;
        let name = dead_letter_topic(&self.settings, topic, &self.group);
        let position = format!("{}/{}/{}", message.topic(), message.partition(), message.offset());
        let headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, rdkafka::message::BorrowedHeaders::detach)
            .insert(Header {
                key: "dlq_error",
                value: Some(error),
            })
            .insert(Header {
                key: "dlq_tries",
                value: Some(&tries.to_string()),
            })
            .insert(Header {
                key: "dlq_group",
                value: Some(&self.group),
            })
            .insert(Header {
                key: "dlq_position",
                value: Some(&position),
            });
        let send = || async {
            let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&name)
                .headers(headers.clone())
                .payload(message.payload().unwrap_or_default());
            if let Some(key) = message.key() {
                record = record.key(key);
            }
            producer
                .send(record, Timeout::After(SEND_TIMEOUT))
                .await
                .map_err(|(error, _)| error)
        };
        // Giving up ends the service, which reads the event again after its restart: nothing is lost.
        let patience = ConstantBuilder::default()
            .with_delay(Duration::from_secs(1))
            .with_max_times(5);
        send.retry(patience)
            .await
            .with_context(|| format!("dead letter to {name}"))?;
        metrics::counter!("kafka_dead_letters_total", "topic" => topic.name(), "group" => self.group.clone())
            .increment(1);
        tracing::error!(
            kafka.position = position,
            kafka.tries = tries,
            error,
            "event went to the dead letters"
        );
        Ok(())
    }
}
