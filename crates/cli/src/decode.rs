//! Records as JSON, by the contract's own descriptors.

use anyhow::{Context as _, Result};
use ferrocart_contracts::{DESCRIPTORS, EVENT_TYPES, PACKAGE};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

use crate::read::Record;

/// Knows all messages of the contract.
pub struct Decoder(DescriptorPool);

impl Decoder {
    pub fn new() -> Result<Self> {
        DescriptorPool::decode(DESCRIPTORS)
            .map(Self)
            .context("the contract's descriptors")
    }

    fn message(&self, event_type: &str) -> Option<MessageDescriptor> {
        let known = EVENT_TYPES.iter().find(|known| known.name == event_type)?;
        self.0
            .get_message_by_name(&format!("{PACKAGE}.{}", known.message))
    }

    /// The record for one line. What cannot be decoded is shown as hexadecimal digits, with the reason.
    pub fn json(&self, record: &Record) -> Value {
        let header = |name: &str| record.header(name).map_or(Value::Null, Value::from);
        let mut line = json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": record.key,
            "id": header("ce_id"),
            "type": header("ce_type"),
            "source": header("ce_source"),
            "time": header("ce_time"),
            "sequence": record.header("ce_sequence").and_then(|text| text.parse::<i64>().ok()),
            "traceparent": header("traceparent"),
        });
        match self.data(record) {
            Ok(data) => line["data"] = data,
            Err(error) => {
                line["undecodable"] = format!("{error:#}").into();
                line["payload_hex"] = record.payload.as_deref().map(hex::encode).into();
            }
        }
        line
    }

    fn data(&self, record: &Record) -> Result<Value> {
        let event_type = record
            .header("ce_type")
            .context("the header ce_type is missing")?;
        let message = self
            .message(event_type)
            .with_context(|| format!("{event_type} is not in this version's contract"))?;
        let Some(payload) = record.payload.as_deref() else {
            return Ok(Value::Null);
        };
        let decoded = DynamicMessage::decode(message, payload).context("the payload")?;
        serde_json::to_value(&decoded).context("the payload as JSON")
    }
}
