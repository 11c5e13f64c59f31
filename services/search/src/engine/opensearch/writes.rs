use std::collections::{BTreeMap, BTreeSet};

use ferrocart_types::{ProductId, SkuId};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reads::Source;
use super::{OpenSearchEngine, documents};
use crate::domain::{Change, Product, Record, product_key, stock_key};
use crate::engine::EngineError;
use crate::engine::batch::{Batch, Lookup};

/// How often changes are tried again that met those of another writer.
const TRIES_MAX: usize = 10;
/// More products than hold one SKU.
const HOLDERS_MAX: usize = 10_000;

/// Where a document stood when it was read; it is only written if it still stands there.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Place {
    #[serde(rename = "_seq_no")]
    number: i64,
    #[serde(rename = "_primary_term")]
    term: i64,
}

#[derive(Deserialize)]
struct Got {
    docs: Vec<GotOne>,
}

#[derive(Deserialize)]
struct GotOne {
    #[serde(rename = "_id")]
    key: String,
    #[serde(default)]
    found: bool,
    #[serde(flatten)]
    place: Option<Place>,
    #[serde(rename = "_source")]
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Written {
    errors: bool,
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: Value,
}

/// All that a batch looks up, read beforehand.
#[derive(Default)]
struct Known {
    records: BTreeMap<String, Option<Record>>,
    places: BTreeMap<String, Place>,
    holders: BTreeMap<SkuId, BTreeSet<ProductId>>,
}

impl Lookup for Known {
    fn find(&self, key: &str) -> Result<Option<Record>, EngineError> {
        let known = self.records.get(key).cloned();
        known.ok_or_else(|| EngineError::Damaged {
            key: key.to_owned(),
            reason: "it was not read before it was needed".to_owned(),
        })
    }

    fn holders(&self, sku_id: SkuId) -> Result<Vec<ProductId>, EngineError> {
        let holders = self.holders.get(&sku_id).into_iter().flatten();
        Ok(holders.copied().collect())
    }
}

impl OpenSearchEngine {
    /// Writes the changes, then settles once more what they touch: another writer may have written the stock
    /// of a product, or a product of a SKU, at the same moment, and neither have seen the other's. Whoever
    /// writes last sees both. What is repeated after a failure changes nothing.
    pub(super) async fn write(&self, changes: &[Change]) -> Result<(), EngineError> {
        self.until_nobody_is_in_the_way(changes, |batch, change| batch.apply(change.clone()))
            .await?;
        self.until_nobody_is_in_the_way(changes, Batch::settle).await
    }

    async fn until_nobody_is_in_the_way(
        &self,
        changes: &[Change],
        mut apply: impl FnMut(&mut Batch<Known>, &Change) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for _ in 0..TRIES_MAX {
            let known = self.read_before(changes).await?;
            let places = known.places.clone();
            let mut batch = Batch::new(known);
            for change in changes {
                apply(&mut batch, change)?;
            }
            let records = batch.into_written()?;
            if records.is_empty() || self.put(&records, &places).await? {
                return Ok(());
            }
        }
        Err(EngineError::Stopped("writing among other writers"))
    }

    /// Reads all that the changes can touch.
    async fn read_before(&self, changes: &[Change]) -> Result<Known, EngineError> {
        let mut known = Known::default();
        let skus: BTreeSet<SkuId> = changes.iter().filter_map(Change::sku_id).collect();
        let mut keys: BTreeSet<String> = changes.iter().map(Change::key).collect();
        if !skus.is_empty() {
            for product in self.holders_of(&skus).await? {
                keys.insert(product_key(product.product_id));
                for variant in &product.variants {
                    let holders = known.holders.entry(variant.sku_id).or_default();
                    holders.insert(product.product_id);
                }
            }
        }
        self.read(&keys, &mut known).await?;
        // Availability is worked out from the stock of all variants.
        let upserted = changes.iter().filter_map(Change::product);
        let stored = known.records.values().flatten().filter_map(Record::product);
        let variants = upserted.chain(stored).flat_map(|product| &product.variants);
        let stocks: BTreeSet<String> = variants.map(|variant| stock_key(variant.sku_id)).collect();
        let missing: BTreeSet<String> = stocks
            .into_iter()
            .filter(|key| !known.records.contains_key(key))
            .collect();
        self.read(&missing, &mut known).await?;
        Ok(known)
    }

    async fn holders_of(&self, skus: &BTreeSet<SkuId>) -> Result<Vec<Product>, EngineError> {
        let skus: Vec<String> = skus.iter().map(ToString::to_string).collect();
        let body = json!({
            "query": { "bool": { "filter": [{ "terms": { "sku": skus } }] } },
            "size": HOLDERS_MAX,
            "_source": ["record"],
        });
        let found = self.hits("looking for a SKU's products", &body).await?;
        let records = found.into_iter().map(super::reads::Found::into_record);
        Ok(records.filter_map(|record| record.product().cloned()).collect())
    }

    async fn read(&self, keys: &BTreeSet<String>, known: &mut Known) -> Result<(), EngineError> {
        if keys.is_empty() {
            return Ok(());
        }
        let path = format!("{}/_mget?_source=record", self.index);
        let got: Got = self
            .client
            .call("reading documents", Method::POST, &path, &json!({ "ids": keys }))
            .await?;
        for one in got.docs {
            if let (true, Some(place)) = (one.found, one.place) {
                known.places.insert(one.key.clone(), place);
            }
            let record = one.source.filter(|_| one.found).map(|source| source.record);
            known.records.insert(one.key, record);
        }
        Ok(())
    }

    /// Answers whether all of them were written; what another writer changed in between was not.
    async fn put(&self, records: &[Record], places: &BTreeMap<String, Place>) -> Result<bool, EngineError> {
        let mut lines = String::new();
        for record in records {
            let key = record.key();
            let action = match places.get(&key) {
                Some(place) => json!({ "index": {
                    "_id": key, "if_seq_no": place.number, "if_primary_term": place.term,
                } }),
                None => json!({ "create": { "_id": key } }),
            };
            let document = documents::document(record).map_err(EngineError::during("writing a document"))?;
            lines.push_str(&action.to_string());
            lines.push('\n');
            lines.push_str(&document.to_string());
            lines.push('\n');
        }
        let path = format!("{}/_bulk?refresh=true", self.index);
        let written: Written = self.client.lines("writing documents", &path, lines).await?;
        if !written.errors {
            return Ok(true);
        }
        let items = written.items.into_iter().flat_map(BTreeMap::into_values);
        for item in items.filter(|item| item.status >= 300) {
            match item.status {
                409 => {}
                429 => return Err(EngineError::Busy),
                _ => return Err(EngineError::during("writing documents")(item.error.to_string())),
            }
        }
        Ok(false)
    }
}
