use std::collections::{BTreeMap, BTreeSet};

use ferrocart_types::{ProductId, SkuId};

use super::EngineError;
use crate::domain::{Change, Record, product_key, stock_key};

/// What an index knows.
pub(super) trait Lookup {
    fn find(&self, key: &str) -> Result<Option<Record>, EngineError>;

    /// The listed products that have the SKU.
    fn holders(&self, sku_id: SkuId) -> Result<Vec<ProductId>, EngineError>;
}

/// The records that a batch of changes touches, over what is committed.
pub(super) struct Batch<L> {
    committed: L,
    /// What was read or changed, by key; `None`: there is no such document. In order, so that equal
    /// batches write equal segments.
    known: BTreeMap<String, Option<Record>>,
    changed: BTreeSet<String>,
    /// Products whose availability has to be worked out anew.
    unsettled: BTreeSet<ProductId>,
}

impl<L: Lookup> Batch<L> {
    pub(super) fn new(committed: L) -> Self {
        Self {
            committed,
            known: BTreeMap::new(),
            changed: BTreeSet::new(),
            unsettled: BTreeSet::new(),
        }
    }

    pub(super) fn apply(&mut self, change: Change) -> Result<(), EngineError> {
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
                let known = self.get(&key)?;
                if known.is_some_and(|known| known.version() >= version) {
                    return Ok(());
                }
                // A sale that leaves some changes nothing that is searched for. A SKU's events come in order, also
                // when they come again, so the version that is kept, of the last turn, still tells the older ones.
                if known.is_some_and(|known| known.is_available() == (available > 0)) {
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

    /// Works out anew what the change, which was applied before, may have left unsettled.
    pub(super) fn settle(&mut self, change: &Change) -> Result<(), EngineError> {
        match change {
            Change::Upserted(product) => {
                self.unsettled.insert(product.product_id);
                Ok(())
            }
            Change::Deleted { .. } => Ok(()),
            Change::Stock { sku_id, .. } => self.unsettle_holders(*sku_id),
        }
    }

    /// The committed products that have the SKU; those of this batch are settled at its end anyway.
    fn unsettle_holders(&mut self, sku_id: SkuId) -> Result<(), EngineError> {
        self.unsettled.extend(self.committed.holders(sku_id)?);
        Ok(())
    }

    /// Settles availability; answers what has to be written.
    pub(super) fn into_written(mut self) -> Result<Vec<Record>, EngineError> {
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
        Ok(self.get(&stock_key(sku_id))?.is_some_and(Record::is_available))
    }

    fn get(&mut self, key: &str) -> Result<Option<&Record>, EngineError> {
        if !self.known.contains_key(key) {
            let record = self.committed.find(key)?;
            self.known.insert(key.to_owned(), record);
        }
        Ok(self.known.get(key).and_then(Option::as_ref))
    }

    fn set(&mut self, key: String, record: Record) {
        self.changed.insert(key.clone());
        self.known.insert(key, Some(record));
    }
}
