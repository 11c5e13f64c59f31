//! One transaction in the journal: a line of JSON that says what changed, then one line for each
//! text that is only ever read back whole (the stored answer, the events).
//!
//! A transaction is there when all of its lines are. Objects are written in full, so that a replay
//! is "the last one wins" and knows no business rules.

use super::journal::Blob;
use crate::domain::charge::Charge;
use crate::domain::intent::Intent;
use crate::domain::refund::Refund;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::io::BufRead;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The salt of ids and client secrets: in the first record only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) salt: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) intents: Vec<Intent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) charges: Vec<Charge>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refunds: Vec<Refund>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<AnswerHead>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<EventHead>,
    /// Sequence numbers of events that the webhook endpoint has taken, or that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) delivered: Vec<u64>,
    /// How many ids were made so far.
    pub(crate) ids: u64,
}

/// The answer to a request with an idempotency key; its body is the first text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AnswerHead {
    pub(crate) key: String,
    /// Of the endpoint and its parameters.
    pub(crate) hash: String,
    pub(crate) status: u16,
    pub(crate) at: i64,
    pub(crate) request_id: String,
}

/// An event; its body is the next text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventHead {
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) kind: String,
    pub(crate) intent: String,
    pub(crate) at: i64,
    /// Whether it is to be delivered to the webhook endpoint.
    pub(crate) hook: bool,
}

impl Record {
    pub(crate) fn texts(&self) -> usize {
        usize::from(self.answer.is_some()) + self.events.len()
    }

    /// The bytes of the transaction, and where each text lies from their beginning.
    pub(crate) fn encode(&self, texts: &[String]) -> serde_json::Result<(Vec<u8>, Vec<Blob>)> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        let mut blobs = Vec::with_capacity(texts.len());
        let mut offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        for text in texts {
            blobs.push(Blob {
                offset,
                len: text.len(),
            });
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
            offset += u64::try_from(text.len() + 1).unwrap_or(u64::MAX);
        }
        Ok((bytes, blobs))
    }
}

/// Reads the transactions of a journal in turn.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    source: R,
    /// The end of the last whole transaction.
    pub(crate) end: u64,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, end: 0 }
    }

    /// `None` at the end, or at a torn last transaction.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<(Record, Vec<Blob>)>> {
        let start = self.end;
        let mut line = Vec::new();
        let mut offset = start;
        if !self.line(&mut line, &mut offset)? {
            return Ok(None);
        }
        let record: Record = match serde_json::from_slice(&line) {
            Ok(record) => record,
            // A whole line that cannot be read is a torn end only if nothing follows it.
            Err(_) if self.source.fill_buf()?.is_empty() => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("journal: the record at byte {start} is damaged"));
            }
        };
        let mut blobs = Vec::with_capacity(record.texts());
        for _ in 0..record.texts() {
            let at = offset;
            if !self.line(&mut line, &mut offset)? {
                return Ok(None);
            }
            if line.first() != Some(&b'{') {
                bail!("journal: the text at byte {at} is damaged");
            }
            blobs.push(Blob {
                offset: at,
                len: line.len(),
            });
        }
        self.end = offset;
        Ok(Some((record, blobs)))
    }

    /// A whole line without its end; false if there is none.
    fn line(&mut self, line: &mut Vec<u8>, offset: &mut u64) -> anyhow::Result<bool> {
        line.clear();
        let read = self.source.read_until(b'\n', line).context("read the journal")?;
        *offset += u64::try_from(read).context("a line's length")?;
        Ok(line.pop() == Some(b'\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> EventHead {
        let (id, kind, intent) = (format!("evt_{seq}"), "x".to_owned(), "pi_1".to_owned());
        EventHead {
            id,
            seq,
            kind,
            intent,
            at: 0,
            hook: true,
        }
    }

    fn two_transactions() -> (Vec<u8>, usize) {
        let first = Record {
            events: vec![event(1)],
            ids: 1,
            ..Record::default()
        };
        let (mut bytes, _) = first.encode(&["{\"a\":1}".to_owned()]).unwrap();
        let boundary = bytes.len();
        let second = Record {
            events: vec![event(2), event(3)],
            ids: 3,
            ..Record::default()
        };
        let texts = ["{\"b\":1}".to_owned(), "{\"c\":1}".to_owned()];
        bytes.extend(second.encode(&texts).unwrap().0);
        (bytes, boundary)
    }

    fn read_all(bytes: &[u8]) -> anyhow::Result<(usize, u64)> {
        let mut reader = Reader::new(bytes);
        let mut count = 0;
        while let Some((_, blobs)) = reader.next()? {
            for blob in blobs {
                let start = usize::try_from(blob.offset).unwrap();
                assert_eq!(bytes[start], b'{');
                assert_eq!(bytes[start + blob.len], b'\n');
            }
            count += 1;
        }
        Ok((count, reader.end))
    }

    /// A crash may leave any prefix: the transactions that are whole in it are read, no others.
    #[test]
    fn every_torn_end_is_cut_at_the_last_whole_transaction() {
        let (bytes, boundary) = two_transactions();
        for cut in 0..=bytes.len() {
            let (count, end) = read_all(&bytes[..cut]).unwrap();
            let expected = match cut {
                cut if cut == bytes.len() => (2, bytes.len()),
                cut if cut >= boundary => (1, boundary),
                _ => (0, 0),
            };
            assert_eq!(
                (count, end),
                (expected.0, u64::try_from(expected.1).unwrap()),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error_not_a_shorter_ledger() {
        let (mut bytes, _) = two_transactions();
        bytes[0] = b'?';
        assert!(read_all(&bytes).unwrap_err().to_string().contains("byte 0"));
    }
}
