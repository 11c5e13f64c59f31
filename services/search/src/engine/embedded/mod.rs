//! The index on this machine's disk, by tantivy.

mod collect;
mod folders;
mod read;
mod record;
mod schema;
mod text;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tantivy::directory::MmapDirectory;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy};
use tokio::sync::Semaphore;

pub(crate) use self::folders::EmbeddedIndexes;
use self::read::Reading;
use self::schema::Fields;
use self::write::Writer;
use super::language::Synonyms;
use super::{EngineError, SearchEngine};
use crate::domain::{Change, Request, Results, Suggestion};

#[derive(Debug, Clone)]
pub(crate) struct EmbeddedSettings {
    pub(crate) folder: PathBuf,
    pub(crate) memory_bytes: usize,
    pub(crate) query_parallel_max: usize,
    pub(crate) query_wait: Duration,
    pub(crate) synonyms: Arc<Synonyms>,
}

pub(super) struct EmbeddedEngine {
    index_id: String,
    reader: IndexReader,
    fields: Fields,
    synonyms: Arc<Synonyms>,
    writer: Arc<Mutex<Writer>>,
    /// Queries use a whole core each; more at once than there are cores only slow each other down.
    turns: Arc<Semaphore>,
    query_wait: Duration,
}

impl EmbeddedEngine {
    /// Opens the index in the folder, or makes one there. Blocks.
    fn open(settings: &EmbeddedSettings, folder: &Path, index_id: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("index_dir: cannot make the folder {}", folder.display()))?;
        let hint = || {
            format!(
                "index_dir: cannot open the index in {0}; if it is damaged, stop the service and remove \
                 {0}: it is filled anew from the topics",
                folder.display()
            )
        };
        let directory = MmapDirectory::open(folder).with_context(hint)?;
        let (schema, fields) = schema::build();
        let index = Index::open_or_create(directory, schema).with_context(hint)?;
        schema::register_analyzers(index.tokenizers());
        let index_id = carried_id(&index, settings.memory_bytes, index_id).with_context(hint)?;
        let reader = index
            .reader_builder()
            // By itself for merges; after a commit the writer does not wait for that.
            .reload_policy(ReloadPolicy::OnCommitWithDelay)
            .try_into()
            .with_context(hint)?;
        let writer = Writer::new(
            index,
            reader.clone(),
            fields.clone(),
            index_id.clone(),
            settings.memory_bytes,
        );
        Ok(Self {
            index_id,
            reader,
            fields,
            synonyms: Arc::clone(&settings.synonyms),
            writer: Arc::new(Mutex::new(writer)),
            turns: Arc::new(Semaphore::new(settings.query_parallel_max)),
            query_wait: settings.query_wait,
        })
    }

    /// Runs a query where it blocks nobody, when it is its turn.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Reading<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let turn = tokio::time::timeout(self.query_wait, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| EngineError::Busy)?
            .map_err(|_| EngineError::Stopped(operation))?;
        let searcher = self.reader.searcher();
        let fields = self.fields.clone();
        let synonyms = Arc::clone(&self.synonyms);
        let span = tracing::Span::current();
        let work = move || {
            let _turn = turn;
            span.in_scope(|| query(&Reading::new(&searcher, &fields, &synonyms)?))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| EngineError::Stopped(operation))?
    }
}

/// The id that the index carries in its commits; a new index gets it with its first.
fn carried_id(index: &Index, memory_bytes: usize, index_id: &str) -> anyhow::Result<String> {
    if let Some(index_id) = index.load_metas()?.payload {
        return Ok(index_id);
    }
    let mut writer: IndexWriter = index.writer_with_num_threads(1, memory_bytes)?;
    write::commit(&mut writer, index_id)?;
    Ok(index_id.to_owned())
}

#[async_trait]
impl SearchEngine for EmbeddedEngine {
    fn index_id(&self) -> &str {
        &self.index_id
    }

    fn generation(&self) -> String {
        // Segments have ids of their own, and what is deleted from one is told by a stamp: together they
        // are what can be found.
        let mut hash = Sha256::new();
        for (segment, deletes) in self.reader.searcher().generation().segments() {
            hash.update(segment.uuid_string());
            hash.update(deletes.unwrap_or(0).to_be_bytes());
        }
        hex::encode(hash.finalize())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let writer = Arc::clone(&self.writer);
        let span = tracing::Span::current();
        let work = move || {
            // A panic leaves nothing behind: the writer drops what it did not commit.
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            span.in_scope(|| writer.apply(changes))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| EngineError::Stopped("indexing"))?
    }

    async fn search(&self, request: Request) -> Result<Results, EngineError> {
        self.read("searching", move |reading| reading.search(&request))
            .await
    }

    async fn suggest(&self, text: String, limit: usize) -> Result<Vec<Suggestion>, EngineError> {
        self.read("suggesting", move |reading| reading.suggest(&text, limit))
            .await
    }

    async fn documents(&self) -> Result<u64, EngineError> {
        let count = |reading: &Reading<'_>| reading.documents();
        self.read("counting", count).await
    }
}
