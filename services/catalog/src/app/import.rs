//! One chunk of an import: its valid lines are saved in one transaction, all others named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ferrocart_http_kit::{FieldError, detached};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{ProductId, SkuId, UserId};
use garde::Validate;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::Catalog;
use super::save::{Wanted, changes, save};
use crate::domain::{Content, Planned, Product, Refusal};
use crate::error::{CatalogError, cause_chain, field_errors};
use crate::store;

/// Lines that are saved in one transaction.
const LINES_MAX: usize = 100;
/// A chunk is full earlier when its lines are long, in bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// What came of one line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportLine)]
pub(crate) struct LineResult {
    /// Counted from 1.
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

#[derive(Debug, Serialize, ToSchema)]
struct ImportedVariant {
    sku: String,
    sku_id: SkuId,
}

/// The last line of the answer.
#[derive(Debug, Default, Clone, Serialize, ToSchema)]
#[schema(as = ImportSummary)]
pub(crate) struct Summary {
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    /// Why the import ended before its last line; send the lines again that were not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<String>,
}

impl Summary {
    pub(crate) fn count(&mut self, results: &[LineResult]) {
        for result in results {
            let counter = match result.status {
                LineStatus::Created => &mut self.created,
                LineStatus::Updated => &mut self.updated,
                LineStatus::Unchanged => &mut self.unchanged,
                LineStatus::Failed => &mut self.failed,
            };
            *counter += 1;
        }
    }
}

impl LineResult {
    pub(crate) fn failed(line: u64, errors: Vec<FieldError>) -> Self {
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

    fn refused(line: u64, refusal: &Refusal) -> Self {
        let error = FieldError {
            field: refusal.field(),
            reason: refusal.to_string(),
        };
        Self::failed(line, vec![error])
    }
}

/// A line as JSON, or what is wrong with it.
pub(crate) fn parse(line: &[u8]) -> Result<Content, Vec<FieldError>> {
    let fault = |field: &str, reason: String| {
        vec![FieldError {
            field: field.to_owned(),
            reason,
        }]
    };
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let content: Content = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let reason = error.inner().to_string();
        // Of a line that is no JSON the path says only how far it was read.
        let field = if error.inner().is_data() {
            field_at_fault(&error.path().to_string(), &reason)
        } else {
            "line".to_owned()
        };
        fault(&field, reason)
    })?;
    deserializer
        .end()
        .map_err(|error| fault("line", error.to_string()))?;
    content.validate().map_err(|report| field_errors(&report))?;
    Ok(content)
}

/// serde names a missing or unknown field in its text alone, and gives the path of what holds it.
fn field_at_fault(path: &str, reason: &str) -> String {
    let parent = path.trim_end_matches(['?', '.']);
    let mut parts = reason.split('`');
    let about = parts.next().unwrap_or_default();
    let named = (about.starts_with("missing field") || about.starts_with("unknown field"))
        .then(|| parts.next())
        .flatten();
    match (parent, named) {
        ("", None) => "line".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (parent, Some(name)) if !parent.ends_with(name) => format!("{parent}.{name}"),
        (parent, _) => parent.to_owned(),
    }
}

/// Lines that are saved together. No two of them touch the same product or article number, so that the
/// outcome is the same as if they were saved one after the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    lines: Vec<(u64, Content)>,
    failed: Vec<LineResult>,
    names: HashSet<String>,
    bytes: usize,
}

impl Chunk {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.failed.is_empty()
    }

    /// Whether it is to be saved before this one is added.
    pub(crate) fn must_be_saved_before(&self, content: &Content, bytes: usize) -> bool {
        self.is_full(bytes) || names(content).any(|name| self.names.contains(&name))
    }

    pub(crate) fn is_full(&self, more_bytes: usize) -> bool {
        self.lines.len() + self.failed.len() >= LINES_MAX || self.bytes + more_bytes > BYTES_MAX
    }

    pub(crate) fn add(&mut self, line: u64, content: Content, bytes: usize) {
        self.names.extend(names(&content));
        self.lines.push((line, content));
        self.bytes += bytes;
    }

    pub(crate) fn add_failed(&mut self, result: LineResult) {
        self.failed.push(result);
    }
}

fn names(content: &Content) -> impl Iterator<Item = String> + '_ {
    let skus = content
        .variants
        .iter()
        .map(|variant| format!("sku {}", variant.sku));
    std::iter::once(format!("handle {}", content.handle)).chain(skus)
}

/// Saves the chunk; answers line by line, in their order. When the store is away all lines fail, and
/// the reason is given as well: going on would make no sense.
pub(crate) async fn save_chunk(
    catalog: &Catalog,
    merchant: UserId,
    chunk: Chunk,
) -> (Vec<LineResult>, Option<String>) {
    let lines = Arc::new(chunk.lines);
    let mut results = chunk.failed;
    let mut aborted = None;
    match save_lines(catalog.clone(), merchant, Arc::clone(&lines)).await {
        Ok(saved) => {
            for ((line, _), outcome) in lines.iter().zip(&saved) {
                results.push(match outcome {
                    Ok(planned) => LineResult::saved(*line, planned),
                    Err(refusal) => LineResult::refused(*line, refusal),
                });
            }
        }
        Err(error) => {
            tracing::error!(error = cause_chain(&error), "a chunk of an import was not saved");
            let reason = error.problem().to_string();
            for (line, _) in lines.iter() {
                let fault = FieldError {
                    field: "line".to_owned(),
                    reason: format!("not imported: {reason}"),
                };
                results.push(LineResult::failed(*line, vec![fault]));
            }
            aborted = Some(reason);
        }
    }
    results.sort_by_key(|result| result.line);
    (results, aborted)
}

type Saved = Vec<Result<Planned, Refusal>>;

async fn save_lines(
    catalog: Catalog,
    merchant: UserId,
    lines: Arc<Vec<(u64, Content)>>,
) -> Result<Saved, CatalogError> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    detached("import.chunk", async move {
        let saved = run_tx(&catalog.pool, "import.chunk", |conn| {
            let (catalog, lines) = (catalog.clone(), Arc::clone(&lines));
            Box::pin(async move { save_in(&catalog, conn, merchant, &lines).await })
        })
        .await?;
        catalog.committed(&changes(saved.iter().flatten())).await;
        Ok(saved)
    })
    .await
}

async fn save_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    merchant: UserId,
    lines: &[(u64, Content)],
) -> Result<Saved, CatalogError> {
    store::products::lock_merchant(conn, merchant).await?;
    let handles: Vec<&str> = lines.iter().map(|(_, content)| content.handle.as_str()).collect();
    let ids = store::products::ids_by_handles(conn, merchant, &handles).await?;
    let mut existing: HashMap<String, Product> = HashMap::new();
    if !ids.is_empty() {
        store::products::lock(conn, &ids).await?;
        for product in store::products::by_ids(&mut *conn, &ids).await? {
            existing.insert(product.handle.clone(), product);
        }
    }
    let wanted: Vec<Wanted<'_>> = lines
        .iter()
        .map(|(_, content)| Wanted {
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

    fn line(handle: &str, sku: &str) -> serde_json::Value {
        json!({"handle": handle, "title": "T", "brand": "B", "category": "c",
               "variants": [{"sku": sku, "price": {"amount_minor": 1, "currency": "USD"}}]})
    }

    fn refused(value: &serde_json::Value) -> String {
        parse(value.to_string().as_bytes()).unwrap_err()[0].field.clone()
    }

    #[test]
    fn faults_name_their_field() {
        assert!(parse(line("a", "A").to_string().as_bytes()).is_ok());
        assert_eq!(parse(b"{\"handle\":").unwrap_err()[0].field, "line");
        assert_eq!(parse(b"[]").unwrap_err()[0].field, "line");
        assert_eq!(refused(&json!({})), "handle");
        let mut wrong = line("a", "A");
        wrong["variants"][0]["price"]["amount_minor"] = json!("12");
        assert_eq!(refused(&wrong), "variants[0].price.amount_minor");
        let mut wrong = line("a", "A");
        wrong["colour"] = json!("red");
        assert_eq!(refused(&wrong), "colour");
        assert_eq!(refused(&line("A b", "A")), "handle");
    }

    #[test]
    fn a_chunk_holds_no_two_lines_that_touch_the_same() {
        let content = |handle, sku| parse(line(handle, sku).to_string().as_bytes()).unwrap();
        let mut chunk = Chunk::default();
        chunk.add(1, content("a", "A"), 100);
        assert!(!chunk.must_be_saved_before(&content("b", "B"), 100));
        assert!(chunk.must_be_saved_before(&content("a", "B"), 100));
        assert!(chunk.must_be_saved_before(&content("b", "A"), 100));
        assert!(chunk.must_be_saved_before(&content("b", "B"), BYTES_MAX));
    }
}
