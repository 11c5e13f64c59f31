use bytes::Bytes;
use chrono::SecondsFormat;
use ferrocart_types::{EventId, Timestamp};

use crate::event::Event;

/// One event with its CloudEvents 1.0 attributes, as it stands in an outbox and on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Unique per event, the same on every redelivery: the inbox's key.
    pub id: EventId,
    /// Such as `ferrocart.order.v1.OrderConfirmed`.
    pub event_type: String,
    /// The service that published it, such as `/ferrocart/order`.
    pub source: String,
    /// The aggregate's id, which is the record's key as well.
    pub subject: String,
    pub time: Timestamp,
    /// The aggregate's sequence; CloudEvents' `sequence` extension.
    pub sequence: i64,
    /// W3C trace context of the request that led to the event.
    pub traceparent: Option<String>,
    /// The protobuf message.
    pub payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    #[error("the header `{0}` is malformed")]
    Malformed(&'static str),
    #[error("the payload is not a {event_type}: {source}")]
    Payload {
        event_type: &'static str,
        source: prost::DecodeError,
    },
}

impl Envelope {
    pub const CONTENT_TYPE: &'static str = "application/protobuf";

    pub fn new<E: Event>(service: &str, id: EventId, time: Timestamp, event: &E) -> Self {
        Self {
            id,
            event_type: E::TYPE.to_owned(),
            source: format!("/ferrocart/{service}"),
            subject: event.key().to_owned(),
            time,
            sequence: event.sequence(),
            traceparent: None,
            payload: Bytes::from(event.encode_to_vec()),
        }
    }

    #[must_use]
    pub fn with_traceparent(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// The message, if this envelope holds one of that type.
    pub fn decode<E: Event>(&self) -> Result<E, EnvelopeError> {
        E::decode(self.payload.clone()).map_err(|source| EnvelopeError::Payload {
            event_type: E::TYPE,
            source,
        })
    }

    /// CloudEvents' Kafka binding, binary mode: attributes as headers, the message as the value.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.id.to_string()),
            ("ce_type", self.event_type.clone()),
            ("ce_source", self.source.clone()),
            ("ce_subject", self.subject.clone()),
            ("ce_time", self.time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            ("ce_sequence", self.sequence.to_string()),
            ("content-type", Self::CONTENT_TYPE.to_owned()),
        ];
        if let Some(traceparent) = &self.traceparent {
            headers.push(("traceparent", traceparent.clone()));
        }
        headers
    }

    /// Reads an envelope back from the headers of a record.
    pub fn from_headers<'a>(
        header: impl Fn(&'static str) -> Option<&'a str>,
        payload: Bytes,
    ) -> Result<Self, EnvelopeError> {
        let required = |name| header(name).ok_or(EnvelopeError::Missing(name));
        if required("ce_specversion")? != "1.0" {
            return Err(EnvelopeError::Malformed("ce_specversion"));
        }
        let time = chrono::DateTime::parse_from_rfc3339(required("ce_time")?)
            .map_err(|_| EnvelopeError::Malformed("ce_time"))?
            .to_utc();
        Ok(Self {
            id: required("ce_id")?
                .parse()
                .map_err(|_| EnvelopeError::Malformed("ce_id"))?,
            event_type: required("ce_type")?.to_owned(),
            source: required("ce_source")?.to_owned(),
            subject: required("ce_subject")?.to_owned(),
            time,
            sequence: required("ce_sequence")?
                .parse()
                .map_err(|_| EnvelopeError::Malformed("ce_sequence"))?,
            traceparent: header("traceparent").map(ToOwned::to_owned),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::v1::{OrderPlaced, ProductDeleted, StockUpdated};

    fn sample() -> Envelope {
        let event = StockUpdated {
            sku_id: "s1".into(),
            version: 7,
            ..Default::default()
        };
        let time = Timestamp::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        Envelope::new("inventory", EventId(uuid::Uuid::from_u128(1)), time, &event).with_traceparent(Some(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ))
    }

    #[test]
    fn comes_back_from_its_headers_as_it_was() {
        let envelope = sample();
        let headers: HashMap<_, _> = envelope.headers().into_iter().collect();
        let back = Envelope::from_headers(
            |name| headers.get(name).map(String::as_str),
            envelope.payload.clone(),
        )
        .unwrap();
        assert_eq!(back, envelope);
        assert_eq!(back.decode::<StockUpdated>().unwrap().version, 7);
    }

    #[test]
    fn a_missing_header_is_named() {
        let envelope = sample();
        for missing in [
            "ce_id",
            "ce_type",
            "ce_source",
            "ce_time",
            "ce_sequence",
            "ce_specversion",
        ] {
            let headers: HashMap<_, _> = envelope.headers().into_iter().collect();
            let answer = Envelope::from_headers(
                |name| headers.get(name).map(String::as_str).filter(|_| name != missing),
                Bytes::new(),
            );
            assert_eq!(answer, Err(EnvelopeError::Missing(missing)));
        }
    }

    #[test]
    fn key_and_sequence_come_from_the_message() {
        assert_eq!(
            ProductDeleted {
                product_id: "p".into(),
                version: 3
            }
            .key(),
            "p"
        );
        assert_eq!(OrderPlaced::default().sequence(), 0);
    }
}
