use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ferrocart_types::{ProductId, SkuId};
use tantivy::{Index, IndexReader, IndexWriter, Searcher, Term};

use super::record::{Record, addresses, product_key, stock_key};
use super::schema::Fields;
use crate::domain::Change;
use crate::engine::EngineError;

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
        let mut batch = Batch::new(self.reader.searcher(), self.fields.clone());
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
                .add_document(record.to_document(&self.fields)?)
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

/// The records that a batch of changes touches, over what is committed.
struct Batch {
    searcher: Searcher,
    fields: Fields,
    /// What was read or changed, by key; `None`: there is no such document. In order, so that equal
    /// batches write equal segments.
    known: BTreeMap<String, Option<Record>>,
    changed: BTreeSet<String>,
    /// Products whose availability has to be worked out anew.
    unsettled: BTreeSet<ProductId>,
}

impl Batch {
    fn new(searcher: Searcher, fields: Fields) -> Self {
        Self {
            searcher,
            fields,
            known: BTreeMap::new(),
            changed: BTreeSet::new(),
            unsettled: BTreeSet::new(),
        }
    }

    fn apply(&mut self, change: Change) -> Result<(), EngineError> {
        match change {
            Change::Upserted(product) => {
                let key = product_key(product.product_id);
                if self
                    .get(&key)?
                    .is_some_and(|known| known.version() >= product.version)
                {
                    return Ok(());
                }
                self.unsettled.insert(product.product_id);
                let record = Record::Product {
                    product: *product,
                    in_stock: false,
                };
                self.set(key, record);
            }
            Change::Deleted { product_id, version } => {
                let key = product_key(product_id);
                match self.get(&key)? {
                    Some(Record::Deleted { version: known, .. }) if *known >= version => return Ok(()),
                    // Deleting wins over a change of the same version: nothing can come after it.
                    Some(known) if known.version() > version => return Ok(()),
                    _ => self.set(key, Record::Deleted { product_id, version }),
                }
            }
            Change::Stock {
                sku_id,
                version,
                available,
            } => {
                let key = stock_key(sku_id);
                if self.get(&key)?.is_some_and(|known| known.version() >= version) {
                    return Ok(());
                }
                let record = Record::Stock {
                    sku_id,
                    version,
                    available,
                };
                self.set(key, record);
                self.unsettle_holders(sku_id)?;
            }
        }
        Ok(())
    }

    /// The committed products that have the SKU; those of this batch are settled at its end anyway.
    fn unsettle_holders(&mut self, sku_id: SkuId) -> Result<(), EngineError> {
        let term = Term::from_field_text(self.fields.sku, &sku_id.to_string());
        for address in addresses(&self.searcher, &term)? {
            let Record::Product { product, .. } = Record::read(&self.searcher, &self.fields, address)? else {
                continue;
            };
            self.unsettled.insert(product.product_id);
        }
        Ok(())
    }

    /// Settles availability; answers what has to be written.
    fn into_written(mut self) -> Result<Vec<Record>, EngineError> {
        for product_id in std::mem::take(&mut self.unsettled) {
            let key = product_key(product_id);
            // A later change of the batch may have deleted it.
            let Some(Record::Product { product, in_stock }) = self.get(&key)?.cloned() else {
                continue;
            };
            let mut available = false;
            for variant in &product.variants {
                available = available || self.is_available(variant.sku_id)?;
            }
            if available != in_stock {
                let record = Record::Product {
                    product,
                    in_stock: available,
                };
                self.set(key, record);
            }
        }
        let Self { known, changed, .. } = self;
        let written = known.into_iter().filter(|(key, _)| changed.contains(key));
        Ok(written.filter_map(|(_, record)| record).collect())
    }

    fn is_available(&mut self, sku_id: SkuId) -> Result<bool, EngineError> {
        let record = self.get(&stock_key(sku_id))?;
        Ok(matches!(record, Some(Record::Stock { available, .. }) if *available > 0))
    }

    fn get(&mut self, key: &str) -> Result<Option<&Record>, EngineError> {
        if !self.known.contains_key(key) {
            let record = Record::find(&self.searcher, &self.fields, key)?;
            self.known.insert(key.to_owned(), record);
        }
        Ok(self.known.get(key).and_then(Option::as_ref))
    }

    fn set(&mut self, key: String, record: Record) {
        self.changed.insert(key.clone());
        self.known.insert(key, Some(record));
    }
}
