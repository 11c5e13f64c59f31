//! The provider's ledger: every request is executed under one lock and answered when it is on disk.

pub(crate) mod draft;
pub(crate) mod journal;
pub(crate) mod record;
pub(crate) mod tables;

use crate::api::call::Write;
use crate::api::error::ApiError;
use crate::api::view::{Origin, Viewer};
use crate::clock::Clock;
use anyhow::Context as _;
use draft::{Draft, Manner, Terms};
use journal::{Journal, JournalError, Limits};
use record::{AnswerHead, Reader, Record};
use serde_json::Value;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::{Answer, Event, Tables};

const JOURNAL_NAME: &str = "ledger.jsonl";
/// Beyond this, events are no longer pushed; they can still be asked for.
const UNDELIVERED_MAX: usize = 200_000;
const PROGRESS_EVERY: u64 = 500_000;

/// Takes the events to be delivered, in the order of the ledger.
pub(crate) trait EventSink: Send + Sync {
    fn push(&self, event: Event, quirk: crate::domain::method::Quirk);
}

/// The idempotency key of a request, with the hash of what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) hash: String,
}

pub(crate) struct Ledger {
    tables: Mutex<Tables>,
    pub(crate) journal: Journal,
    terms: Terms,
    clock: Arc<dyn Clock>,
    sink: Option<Arc<dyn EventSink>>,
}

/// What became of a request.
pub(crate) enum Begun {
    /// The key was answered before.
    Replay(Answer),
    Executed(Executed),
}

pub(crate) struct Executed {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) manner: Manner,
    /// The answer may leave when the journal is durable up to here.
    pub(crate) end: u64,
    /// Until this is dropped, a repeat of the key is told that the first request is still going on.
    pub(crate) answering: Option<Answering>,
}

pub(crate) struct Answering {
    ledger: Arc<Ledger>,
    key: String,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ledger.tables().answering.remove(&self.key);
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        Self::ledger(&error.to_string())
    }
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) public_url: String,
    pub(crate) hold_seconds: i64,
    pub(crate) journal: Limits,
}

/// Replays the journal and goes on with it. Blocking.
pub(crate) fn open(
    dir: &Path,
    settings: Settings,
    clock: Arc<dyn Clock>,
    sink: Option<Arc<dyn EventSink>>,
) -> anyhow::Result<Ledger> {
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
    let file = journal::open(&dir.join(JOURNAL_NAME))?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, &file));
    let mut tables = Tables::default();
    let mut salt = None;
    let mut count = 0_u64;
    while let Some((mut record, blobs)) = reader.next()? {
        if let Some(text) = record.salt.take() {
            salt = Some(text);
        }
        tables.apply(record, &blobs);
        count += 1;
        if count.is_multiple_of(PROGRESS_EVERY) {
            tracing::info!(transactions = count, "replaying the journal");
        }
    }
    let end = reader.end;
    if count > 0 {
        tracing::info!(transactions = count, bytes = end, "replayed the journal");
    }
    let journal = Journal::start(file, end, settings.journal)?;
    let salt = match salt {
        Some(salt) => salt,
        None => first_record(&journal)?,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(&salt, &mut bytes).context("journal: the salt is damaged")?;
    let viewer = Viewer {
        public_url: settings.public_url,
        salt: bytes,
    };
    let terms = Terms {
        viewer,
        hold_seconds: settings.hold_seconds,
        hooks: sink.is_some(),
    };
    let ledger = Ledger {
        tables: Mutex::new(tables),
        journal,
        terms,
        clock,
        sink,
    };
    ledger.push_undelivered();
    Ok(ledger)
}

fn first_record(journal: &Journal) -> anyhow::Result<String> {
    let salt = hex::encode(rand::random::<[u8; 32]>());
    let record = Record {
        salt: Some(salt.clone()),
        ..Record::default()
    };
    let (bytes, _) = record.encode(&[]).context("encode the first record")?;
    // Everything that is answered later lies behind it, so it is durable before it matters.
    journal.append(&bytes).context("write the first record")?;
    Ok(salt)
}

impl Ledger {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn viewer(&self) -> &Viewer {
        &self.terms.viewer
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.clock.now_s()
    }

    fn push_undelivered(&self) {
        let Some(sink) = &self.sink else { return };
        let tables = self.tables();
        for event in tables.undelivered() {
            sink.push(event.clone(), quirk_of(&tables, &event.head.intent));
        }
    }

    /// Executes a request, or finds the answer that its key got before.
    pub(crate) fn begin(
        self: &Arc<Self>,
        write: Write,
        key: Option<Key>,
        expand: bool,
        request_id: &str,
    ) -> Result<Begun, ApiError> {
        let now = self.clock.now_s();
        let mut tables = self.tables();
        if let Some(answer) = key
            .as_ref()
            .and_then(|key| tables.answer(&key.key).map(|answer| (key, answer)))
        {
            let (key, answer) = answer;
            if answer.hash != key.hash {
                return Err(ApiError::key_reused(&key.key));
            }
            if tables.answering.contains(&key.key) {
                return Err(ApiError::key_in_use(&key.key));
            }
            return Ok(Begun::Replay(answer.clone()));
        }
        let origin = Origin {
            request_id: Some(request_id.to_owned()),
            idempotency_key: key.as_ref().map(|key| key.key.clone()),
        };
        let mut draft = Draft::new(&tables, &self.terms, now, expand, origin);
        let verdict = draft.execute(write)?;
        let body = text(&verdict.body);
        if let Some(Key { key, hash }) = key.clone() {
            let request_id = request_id.to_owned();
            draft.remember(
                AnswerHead {
                    key,
                    hash,
                    status: verdict.status,
                    at: now,
                    request_id,
                },
                body.clone(),
            );
        }
        let Draft { record, texts, .. } = draft;
        let end = self.commit(&mut tables, record, &texts)?;
        let answering = key.map(|Key { key, .. }| {
            tables.answering.insert(key.clone());
            Answering {
                ledger: Arc::clone(self),
                key,
            }
        });
        drop(tables);
        Ok(Begun::Executed(Executed {
            status: verdict.status,
            body,
            manner: verdict.manner,
            end,
            answering,
        }))
    }

    /// Answers where the journal must be durable up to.
    fn commit(&self, tables: &mut Tables, mut record: Record, texts: &[String]) -> Result<u64, ApiError> {
        if tables.undelivered_len() >= UNDELIVERED_MAX {
            for event in &mut record.events {
                event.hook = false;
            }
        }
        if record.texts() == 0 && record.intents.is_empty() {
            // A refusal without a key leaves no trace.
            return Ok(self.journal.end());
        }
        let (bytes, mut blobs) = record.encode(texts).map_err(|error| {
            tracing::error!(%error, "a record could not be encoded");
            ApiError::ledger("The request could not be recorded.")
        })?;
        let (start, end) = self.journal.append(&bytes)?;
        for blob in &mut blobs {
            blob.offset += start;
        }
        let events = record.events.len();
        let heads = if self.sink.is_some() {
            record.events.clone()
        } else {
            Vec::new()
        };
        tables.apply(record, &blobs);
        if let Some(sink) = &self.sink {
            let bodies = blobs.iter().skip(blobs.len() - events);
            for (head, body) in heads.into_iter().zip(bodies).filter(|(head, _)| head.hook) {
                let quirk = quirk_of(tables, &head.intent);
                sink.push(Event { head, body: *body }, quirk);
            }
        }
        Ok(end)
    }

    /// An event was taken by the endpoint, or given up. Lost with a crash, it is delivered again.
    pub(crate) fn delivered(&self, seq: u64) {
        let mut tables = self.tables();
        let record = Record {
            delivered: vec![seq],
            ids: tables.ids,
            ..Record::default()
        };
        let appended = record.encode(&[]).map(|(bytes, _)| self.journal.append(&bytes));
        if !matches!(appended, Ok(Ok(_))) {
            tracing::warn!(seq, "the delivery of an event could not be recorded");
        }
        tables.apply(record, &[]);
    }

    /// Ends authorizations whose time has come and forgets old answers.
    pub(crate) fn sweep(self: &Arc<Self>, at_most: usize) {
        let now = self.clock.now_s();
        let expired = {
            let mut tables = self.tables();
            tables.forget_answers(now);
            tables.expired(now, at_most)
        };
        for id in expired {
            match self.begin(Write::Expire { id: id.clone() }, None, false, "sweep") {
                Ok(_) => tracing::info!(intent = %id, "the authorization expired"),
                Err(error) => tracing::warn!(intent = %id, ?error, "the authorization could not be expired"),
            }
        }
    }
}

fn quirk_of(tables: &Tables, intent: &str) -> crate::domain::method::Quirk {
    let method = tables.intents.get(intent).and_then(|intent| intent.method);
    method.map_or(crate::domain::method::Quirk::None, |method| {
        method.profile().quirk
    })
}

/// Compact JSON: one line, as the journal needs it.
pub(crate) fn text(value: &Value) -> String {
    value.to_string()
}
