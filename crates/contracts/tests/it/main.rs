//! The golden payloads of `proto/golden`: for each type of event one record as it stands on its topic. They were
//! written by another implementation of protobuf than ours, and are never changed: what reads them today reads what
//! was published by any release of v1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ferrocart_contracts::{DESCRIPTORS, EVENT_TYPES, Envelope, Event, EventType, PACKAGE, v1};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    topic: String,
    key: String,
    headers: BTreeMap<String, String>,
    data: serde_json::Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/golden")
}

fn golden(message: &str) -> (Golden, Bytes) {
    let text = std::fs::read_to_string(folder().join(format!("{message}.json"))).unwrap();
    let bytes = std::fs::read(folder().join(format!("{message}.bin"))).unwrap();
    (serde_json::from_str(&text).unwrap(), bytes.into())
}

fn descriptor(message: &str) -> MessageDescriptor {
    DescriptorPool::decode(DESCRIPTORS)
        .unwrap()
        .get_message_by_name(&format!("{PACKAGE}.{message}"))
        .unwrap_or_else(|| panic!("no message {message} in the descriptors"))
}

/// Reads the golden record with the generated code and writes it again; both must be what was written down.
fn holds<E: Event>() {
    let event_type = EVENT_TYPES.iter().find(|known| known.name == E::TYPE).unwrap();
    let (golden, bytes) = golden(event_type.message);
    assert_eq!(golden.topic, E::TOPIC.name());
    let envelope =
        Envelope::from_headers(|name| golden.headers.get(name).map(String::as_str), bytes.clone()).unwrap();
    let headers: BTreeMap<String, String> = envelope
        .headers()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(headers, golden.headers, "{}: the headers", E::TYPE);
    assert_eq!(envelope.event_type, E::TYPE);
    let event: E = envelope.decode().unwrap();
    assert_eq!(event.key(), golden.key, "{}: the key", E::TYPE);
    assert_eq!(event.sequence(), envelope.sequence, "{}: the sequence", E::TYPE);
    assert_eq!(event.encode_to_vec(), bytes, "{}: written again", E::TYPE);
}

#[test]
fn golden_records_are_read_and_written_by_the_generated_code() {
    holds::<v1::OrderPlaced>();
    holds::<v1::OrderPaymentPending>();
    holds::<v1::OrderConfirmed>();
    holds::<v1::OrderCancelled>();
    holds::<v1::OrderShipped>();
    holds::<v1::OrderDelivered>();
    holds::<v1::OrderPartiallyRefunded>();
    holds::<v1::OrderRefunded>();
    holds::<v1::StockUpdated>();
    holds::<v1::StockLow>();
    holds::<v1::StockReserved>();
    holds::<v1::ReservationConfirmed>();
    holds::<v1::ReservationReleased>();
    holds::<v1::ReservationExpired>();
    holds::<v1::ReservationDeducted>();
    holds::<v1::PaymentRequiresAction>();
    holds::<v1::PaymentAuthorized>();
    holds::<v1::PaymentDeclined>();
    holds::<v1::PaymentCaptured>();
    holds::<v1::PaymentVoided>();
    holds::<v1::PaymentRefunded>();
    holds::<v1::ProductUpserted>();
    holds::<v1::ProductDeleted>();
}

#[test]
fn golden_records_are_what_the_descriptors_say_both_ways() {
    for EventType { message, .. } in EVENT_TYPES {
        let (golden, bytes) = golden(message);
        let decoded = DynamicMessage::decode(descriptor(message), bytes.clone()).unwrap();
        let json = serde_json::to_value(&decoded).unwrap();
        assert_eq!(json, golden.data, "{message}: bytes to JSON");
        let encoded = DynamicMessage::deserialize(descriptor(message), golden.data).unwrap();
        assert_eq!(encoded.encode_to_vec(), bytes, "{message}: JSON to bytes");
    }
}

#[test]
fn there_is_a_golden_record_of_every_type_and_no_other() {
    let named: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let published: BTreeSet<String> = EVENT_TYPES.iter().map(|known| known.message.to_owned()).collect();
    assert_eq!(named, published);
}

/// Messages of the package that are an event's own, by having a `ce_type` in their comment, are all published.
#[test]
fn the_table_of_types_agrees_with_the_contract() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    for EventType {
        name,
        message,
        key,
        sequence,
        topic,
    } in EVENT_TYPES
    {
        let descriptor = descriptor(message);
        let comment = comment(&descriptor);
        assert!(
            comment.trim().starts_with(&format!("ce_type {name}")),
            "{message}: {comment}"
        );
        let area = topic.name().trim_end_matches("-events");
        assert_eq!(*name, format!("ferrocart.{area}.v1.{message}"));
        for path in [key, sequence] {
            let (last, parts) = path.split_last().unwrap();
            let mut owner = descriptor.clone();
            for part in parts {
                let field = owner.get_field_by_name(part).unwrap();
                owner = field.kind().as_message().unwrap().clone();
            }
            assert!(owner.get_field_by_name(last).is_some(), "{message}: {path:?}");
        }
    }
    let events = pool
        .all_messages()
        .filter(|message| message.package_name() == PACKAGE && comment(message).contains("ce_type "));
    assert_eq!(events.count(), EVENT_TYPES.len());
}

fn comment(message: &MessageDescriptor) -> String {
    let file = message.parent_file();
    let path = message.path();
    let proto = file.file_descriptor_proto();
    let info = proto.source_code_info.as_ref().unwrap();
    let location = info.location.iter().find(|location| location.path == path);
    location
        .and_then(|location| location.leading_comments.clone())
        .unwrap_or_default()
}

/// A field that no golden record shows would be read and written by nothing here.
#[test]
fn every_field_is_shown_by_a_golden_record() {
    let mut shown = BTreeSet::new();
    for EventType { message, .. } in EVENT_TYPES {
        let (_, bytes) = golden(message);
        let decoded = DynamicMessage::decode(descriptor(message), bytes).unwrap();
        note_fields(&decoded, &mut shown);
    }
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    for message in pool
        .all_messages()
        .filter(|message| message.package_name() == PACKAGE && !message.is_map_entry())
    {
        for field in message.fields() {
            assert!(
                shown.contains(field.full_name()),
                "no golden record has {}",
                field.full_name()
            );
        }
    }
}

fn note_fields(message: &DynamicMessage, shown: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        shown.insert(field.full_name().to_owned());
        note_value(value, shown);
    }
}

fn note_value(value: &Value, shown: &mut BTreeSet<String>) {
    match value {
        Value::Message(message) => note_fields(&message.clone().transcode_to_dynamic(), shown),
        Value::List(values) => values.iter().for_each(|value| note_value(value, shown)),
        _ => {}
    }
}
