use bytes::Bytes;
use ferrocart_contracts::{Envelope, EnvelopeError};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};

/// The envelope's attributes as Kafka headers.
pub(crate) fn headers(envelope: &Envelope) -> OwnedHeaders {
    let attributes = envelope.headers();
    let mut headers = OwnedHeaders::new_with_capacity(attributes.len());
    for (key, value) in &attributes {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    headers
}

pub(crate) fn envelope(message: &BorrowedMessage<'_>) -> Result<Envelope, EnvelopeError> {
    let header = |name: &'static str| {
        message
            .headers()?
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    Envelope::from_headers(
        header,
        Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    )
}
