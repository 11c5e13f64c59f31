use std::time::Instant;

use ferrocart_types::{ProductId, SkuId};
use tantivy::{Index, IndexReader, IndexWriter, Searcher, Term};

use super::record::{self, addresses};
use super::schema::Fields;
use crate::domain::{Change, Record};
use crate::engine::EngineError;
use crate::engine::batch::{Batch, Lookup};

/// The one writer of an index. All that is known of a product or SKU, its version too, stands in the
/// index itself and changes in one commit with it: whenever the process dies, the index is at one commit,
/// and the events after that commit come again.
pub(super) struct Writer {
    index: Index,
    reader: IndexReader,
    fields: Fields,
    index_id: String,
    memory_bytes: usize,
    /// Put back only after a commit: a failure or panic drops it, and with it what was not committed.
    idle: Option<IndexWriter>,
}

impl Writer {
    pub(super) fn new(
        index: Index,
        reader: IndexReader,
        fields: Fields,
        index_id: String,
        memory_bytes: usize,
    ) -> Self {
        Self {
            index,
            reader,
            fields,
            index_id,
            memory_bytes,
            idle: None,
        }
    }

    /// Applies the changes in order and commits them.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<(), EngineError> {
        // Decisions are made on what is committed, even if the last reload failed.
        self.reload()?;
        let mut batch = Batch::new(Committed {
            searcher: self.reader.searcher(),
            fields: self.fields.clone(),
        });
        for change in changes {
            batch.apply(change)?;
        }
        let records = batch.into_written()?;
        if records.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let mut writer = self.take_writer()?;
        for record in &records {
            writer.delete_term(Term::from_field_text(self.fields.key, &record.key()));
            writer
                .add_document(record::to_document(record, &self.fields)?)
                .map_err(EngineError::during("adding a document"))?;
        }
        commit(&mut writer, &self.index_id)?;
        self.idle = Some(writer);
        self.reload()?;
        metrics::histogram!("search_commit_duration_seconds").record(started.elapsed());
        metrics::counter!("search_documents_written_total")
            .increment(u64::try_from(records.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn reload(&self) -> Result<(), EngineError> {
        self.reader
            .reload()
            .map_err(EngineError::during("reloading the index"))
    }

    fn take_writer(&mut self) -> Result<IndexWriter, EngineError> {
        match self.idle.take() {
            Some(writer) => Ok(writer),
            // One thread: a commit of a few hundred documents gives one segment, not several.
            None => self
                .index
                .writer_with_num_threads(1, self.memory_bytes)
                .map_err(EngineError::during("opening the index for writing")),
        }
    }
}

/// Each commit carries the id of the index, which so lives and dies with its documents.
pub(super) fn commit(writer: &mut IndexWriter, index_id: &str) -> Result<(), EngineError> {
    let mut prepared = writer
        .prepare_commit()
        .map_err(EngineError::during("preparing a commit"))?;
    prepared.set_payload(index_id);
    prepared.commit().map_err(EngineError::during("committing"))?;
    Ok(())
}

/// What is committed.
struct Committed {
    searcher: Searcher,
    fields: Fields,
}

impl Lookup for Committed {
    fn find(&self, key: &str) -> Result<Option<Record>, EngineError> {
        record::find(&self.searcher, &self.fields, key)
    }

    fn holders(&self, sku_id: SkuId) -> Result<Vec<ProductId>, EngineError> {
        let term = Term::from_field_text(self.fields.sku, &sku_id.to_string());
        let mut holders = Vec::new();
        for address in addresses(&self.searcher, &term)? {
            let record = record::read(&self.searcher, &self.fields, address)?;
            holders.extend(record.product().map(|product| product.product_id));
        }
        Ok(holders)
    }
}
