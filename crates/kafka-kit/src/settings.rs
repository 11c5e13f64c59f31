use ferrocart_contracts::Topic;
use rdkafka::ClientConfig;
use serde::Deserialize;

/// How a service reaches Kafka; part of its settings.
#[derive(Debug, Clone, Deserialize)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub kafka_brokers: String,
    /// Stands before every topic's and group's name; keeps several platforms on one broker apart.
    pub kafka_topic_prefix: String,
    /// How many partitions a topic gets that does not exist yet. Final from then on: adding partitions
    /// later would move keys and break their order.
    pub kafka_partitions: i32,
}

impl KafkaSettings {
    pub(crate) fn topic_name(&self, topic: Topic) -> String {
        format!("{}{topic}", self.kafka_topic_prefix)
    }

    pub(crate) fn group_name(&self, group: &str) -> String {
        format!("{}{group}", self.kafka_topic_prefix)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }
}
