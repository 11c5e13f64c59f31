//! Kafka as every service uses it: topics, the outbox relay, and consumers that store an offset only
//! when the event's effect is durable.

mod consumer;
mod dead_letter;
mod handler;
mod lag;
mod record;
mod relay;
mod settings;
mod topics;

pub use consumer::{Consumer, StartAt};
pub use handler::{BatchHandler, HandleError, Handler, Received};
pub use relay::{Relay, RelayHandle};
pub use settings::KafkaSettings;
pub use topics::{dead_letter_topic, ensure_topics, replay_topic};
