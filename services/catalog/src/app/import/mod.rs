//! The bulk import. A chunk of it is saved in one transaction, together with how far the import has come;
//! what is wrong with a line is told of that line alone.

mod csv;
mod ndjson;
mod progress;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ferrocart_http_kit::{FieldError, detached};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{ProductId, SkuId, UserId};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::Catalog;
use super::save::{Wanted, changes, save};
use crate::domain::{Content, Counts, Format, Mark, Planned, Product, Refusal};
use crate::error::{CatalogError, refused_fields};
use crate::store;
use crate::store::imports::{Key, Step};

pub(crate) use progress::{Start, complete, open};

/// Products that are saved in one transaction.
const ITEMS_MAX: usize = 100;
/// A chunk is full earlier when its products are long, in bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// A product with everything at its bounds is shorter, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024;

/// A product of the file, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its first line, counted from 1.
    pub(crate) line: u64,
    /// After its last line.
    pub(crate) end: Mark,
    bytes: usize,
    content: Result<Content, Vec<FieldError>>,
    /// The line of each of its variants, where they have lines of their own.
    rows: Vec<u64>,
}

/// Reads products out of lines.
pub(crate) enum Reader {
    Ndjson,
    Csv(Box<csv::Reader>),
}

impl Reader {
    /// `columns` are those of a CSV file of which the beginning was read before.
    pub(crate) fn new(format: Format, columns: Option<&[String]>) -> Result<Self, String> {
        Ok(match format {
            Format::Ndjson => Self::Ndjson,
            Format::Csv => Self::Csv(Box::new(csv::Reader::new(columns)?)),
        })
    }

    /// Takes the next line, `None` for one that is too long. Answers the product that is complete by it;
    /// the reason when there is no sense in reading on.
    pub(crate) fn push(&mut self, line: Option<&[u8]>, end: Mark) -> Result<Option<Item>, String> {
        match self {
            Self::Ndjson => Ok(ndjson::item(line, end)),
            Self::Csv(reader) => reader.push(line, end),
        }
    }

    /// The last product, after the last line.
    pub(crate) fn finish(&mut self) -> Result<Option<Item>, String> {
        match self {
            Self::Ndjson => Ok(None),
            Self::Csv(reader) => reader.finish(),
        }
    }

    /// The header of a CSV file, once it is known.
    pub(crate) fn columns(&self) -> Option<&[String]> {
        match self {
            Self::Ndjson => None,
            Self::Csv(reader) => reader.columns(),
        }
    }
}

/// What came of one product.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ImportLine)]
pub(crate) struct LineResult {
    /// Its line, counted from 1; the first one, where its variants have lines of their own.
    pub(crate) line: u64,
    status: LineStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<ProductId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variants: Vec<ImportedVariant>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LineStatus {
    Created,
    Updated,
    /// The product was like that already; it keeps its version.
    Unchanged,
    Failed,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct ImportedVariant {
    sku: String,
    sku_id: SkuId,
}

impl LineResult {
    fn failed(line: u64, errors: Vec<FieldError>) -> Self {
        Self {
            line,
            status: LineStatus::Failed,
            product_id: None,
            variants: Vec::new(),
            errors,
        }
    }

    fn saved(line: u64, planned: &Planned) -> Self {
        let product = planned.product();
        Self {
            line,
            status: match planned {
                Planned::Created(_) => LineStatus::Created,
                Planned::Updated(_) => LineStatus::Updated,
                Planned::Unchanged(_) => LineStatus::Unchanged,
            },
            product_id: Some(product.id),
            variants: product
                .variants
                .iter()
                .map(|variant| ImportedVariant {
                    sku: variant.sku.clone(),
                    sku_id: variant.sku_id,
                })
                .collect(),
            errors: Vec::new(),
        }
    }

    fn refused(item: &Item, refusal: &Refusal) -> Self {
        Self::failed(item.line, item.in_columns(refused_fields(refusal)))
    }

    /// The line and what is wrong with it, if anything is.
    pub(crate) fn errors(&self) -> Option<(u64, &[FieldError])> {
        (self.status == LineStatus::Failed).then_some((self.line, &self.errors))
    }
}

impl Item {
    fn in_columns(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        if self.rows.is_empty() {
            return errors;
        }
        csv::in_columns(errors, &self.rows)
    }
}

fn count(results: &[LineResult]) -> Counts {
    let mut counts = Counts::default();
    for result in results {
        let counter = match result.status {
            LineStatus::Created => &mut counts.created,
            LineStatus::Updated => &mut counts.updated,
            LineStatus::Unchanged => &mut counts.unchanged,
            LineStatus::Failed => &mut counts.failed,
        };
        *counter += 1;
    }
    counts
}

/// Products that are saved together. No two of them touch the same product or article number, so that the
/// outcome is the same as if they were saved one after the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    items: Vec<Item>,
    names: HashSet<String>,
    bytes: usize,
}

impl Chunk {
    /// After its last line; `None` when it is empty.
    pub(crate) fn end(&self) -> Option<Mark> {
        self.items.last().map(|item| item.end)
    }

    /// Whether it is to be saved before this one is added.
    pub(crate) fn must_be_saved_before(&self, item: &Item) -> bool {
        let content = item.content.as_ref();
        self.is_full(item.bytes)
            || content.is_ok_and(|content| names(content).any(|name| self.names.contains(&name)))
    }

    pub(crate) fn is_full(&self, more_bytes: usize) -> bool {
        let is_too_long = self.bytes + more_bytes > BYTES_MAX && !self.items.is_empty();
        self.items.len() >= ITEMS_MAX || is_too_long
    }

    pub(crate) fn add(&mut self, item: Item) {
        self.names.extend(item.content.iter().flat_map(names));
        self.bytes += item.bytes;
        self.items.push(item);
    }
}

fn names(content: &Content) -> impl Iterator<Item = String> + '_ {
    let skus = content
        .variants
        .iter()
        .map(|variant| format!("sku {}", variant.sku));
    std::iter::once(format!("handle {}", content.handle)).chain(skus)
}

/// Saves the chunk and that the import has come so far. Answers product by product, in their order, and
/// what is counted from now on.
pub(crate) async fn save_chunk(
    catalog: &Catalog,
    key: Key,
    chunk: Chunk,
    columns: Option<Vec<String>>,
) -> Result<(Vec<LineResult>, Counts), CatalogError> {
    let (catalog, chunk, columns) = (catalog.clone(), Arc::new(chunk), Arc::new(columns));
    detached("import.chunk", async move {
        let saved = run_tx(&catalog.pool, "import.chunk", |conn| {
            let (catalog, chunk, columns) = (catalog.clone(), Arc::clone(&chunk), Arc::clone(&columns));
            Box::pin(async move { save_in(&catalog, conn, key, &chunk, columns.as_deref()).await })
        })
        .await?;
        catalog.committed(&saved.changes).await;
        Ok((saved.results, saved.counts))
    })
    .await
}

struct Saved {
    results: Vec<LineResult>,
    changes: Vec<(ProductId, i64)>,
    counts: Counts,
}

async fn save_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    key: Key,
    chunk: &Chunk,
    columns: Option<&[String]>,
) -> Result<Saved, CatalogError> {
    let contents: Vec<&Content> = chunk.items.iter().flat_map(|item| &item.content).collect();
    let outcomes = save_contents(catalog, conn, key.merchant, &contents).await?;
    let mut outcome = outcomes.iter();
    let results: Vec<LineResult> = chunk
        .items
        .iter()
        .filter_map(|item| match &item.content {
            Err(errors) => Some(LineResult::failed(item.line, errors.clone())),
            Ok(_) => outcome.next().map(|outcome| match outcome {
                Ok(planned) => LineResult::saved(item.line, planned),
                Err(refusal) => LineResult::refused(item, refusal),
            }),
        })
        .collect();
    let step = Step {
        done: chunk.end().unwrap_or_default(),
        counts: count(&results),
        columns,
        now: catalog.clock.now(),
    };
    let counts = store::imports::advance(conn, key, &step)
        .await?
        .ok_or(CatalogError::ImportTakenOver)?;
    let failed: Vec<(u64, &[FieldError])> = results.iter().filter_map(LineResult::errors).collect();
    store::imports::add_errors(conn, key, &failed, counts.failed).await?;
    Ok(Saved {
        changes: changes(outcomes.iter().flatten()),
        results,
        counts,
    })
}

async fn save_contents(
    catalog: &Catalog,
    conn: &mut PgConnection,
    merchant: UserId,
    contents: &[&Content],
) -> Result<Vec<Result<Planned, Refusal>>, CatalogError> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    store::products::lock_merchant(conn, merchant).await?;
    let handles: Vec<&str> = contents.iter().map(|content| content.handle.as_str()).collect();
    let ids = store::products::ids_by_handles(conn, merchant, &handles).await?;
    let mut existing: HashMap<String, Product> = HashMap::new();
    if !ids.is_empty() {
        store::products::lock(conn, &ids).await?;
        for product in store::products::by_ids(&mut *conn, &ids).await? {
            existing.insert(product.handle.clone(), product);
        }
    }
    let wanted: Vec<Wanted<'_>> = contents
        .iter()
        .map(|content| Wanted {
            existing: existing.get(&content.handle),
            content,
        })
        .collect();
    save(catalog, conn, merchant, &wanted).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chunk_holds_no_two_products_that_touch_the_same() {
        let item = |handle: &str, sku: &str, bytes: usize| {
            let product = json!({"handle": handle, "title": "T", "brand": "B", "category": "c",
                "variants": [{"sku": sku, "price": {"amount_minor": 1, "currency": "USD"}}]});
            let mut item = ndjson::item(Some(product.to_string().as_bytes()), Mark::default()).unwrap();
            item.bytes = bytes;
            item
        };
        let mut chunk = Chunk::default();
        chunk.add(item("a", "A", 100));
        assert!(!chunk.must_be_saved_before(&item("b", "B", 100)));
        assert!(chunk.must_be_saved_before(&item("a", "B", 100)));
        assert!(chunk.must_be_saved_before(&item("b", "A", 100)));
        assert!(chunk.must_be_saved_before(&item("b", "B", BYTES_MAX)));
    }
}
