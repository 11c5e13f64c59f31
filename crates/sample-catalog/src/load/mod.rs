//! Puts the catalog into a running platform through its public API. Running it twice changes nothing:
//! categories that exist are kept, products are upserted by handle, SKUs that have stock keep it.

mod gateway;
mod ndjson;

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::gateway::Gateway;
pub use self::gateway::log_in;
use crate::{Product, categories, generate};

/// Bounds of one import request; whichever is reached first ends it.
const IMPORT_LINES_MAX: usize = 200;
const IMPORT_BYTES_MAX: usize = 768 * 1024;
/// The most items that one `POST /v1/inventory:batch` takes.
const STOCK_ITEMS_MAX: usize = 1_000;
/// Failed lines that an error message quotes.
const FAILURES_QUOTED_MAX: usize = 5;

/// The namespace of the idempotency keys that this loader derives from what it sends.
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_52a8_9b0c_5e07_8d53_2f4a_c1e9_7b36);

pub struct LoadOptions<F> {
    /// Where the gateway listens, without `/v1`.
    pub gateway_url: String,
    /// An access token with the role `merchant`.
    pub merchant_token: String,
    pub seed: u64,
    pub products: usize,
    /// Called after every answer.
    pub progress: F,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Categories,
    Products,
    Stock,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Categories => "categories",
            Self::Products => "products",
            Self::Stock => "stock",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: usize,
    pub total: usize,
}

/// What the platform said it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub categories_created: usize,
    pub categories_existing: usize,
    pub products_created: usize,
    pub products_updated: usize,
    /// They were there already, just so.
    pub products_unchanged: usize,
    pub skus: usize,
}

/// Generates the catalog and loads it: categories, then products, then their stock.
pub async fn load<F>(options: LoadOptions<F>) -> anyhow::Result<Summary>
where
    F: Fn(Progress) + Send + Sync,
{
    let gateway = Gateway::new(&options.gateway_url, &options.merchant_token)?;
    let mut summary = Summary::default();
    load_categories(&gateway, &mut summary, &options.progress)
        .await
        .context("create the categories")?;
    let products: Vec<Product> = generate(options.seed, options.products).collect();
    let stock = load_products(&gateway, &products, &mut summary, &options.progress)
        .await
        .context("import the products")?;
    summary.skus = stock.len();
    load_stock(&gateway, &stock, &options.progress)
        .await
        .context("set the stock")?;
    Ok(summary)
}

#[derive(Deserialize)]
struct Categories {
    items: Vec<CategoryItem>,
}

#[derive(Deserialize)]
struct CategoryItem {
    category_id: Uuid,
    slug: String,
}

async fn load_categories(
    gateway: &Gateway,
    summary: &mut Summary,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> anyhow::Result<()> {
    let mut known = known_categories(gateway).await?;
    let wanted = categories();
    for (index, category) in wanted.iter().enumerate() {
        if known.contains_key(category.slug) {
            summary.categories_existing += 1;
        } else {
            let mut body = json!({"slug": category.slug, "name": category.name});
            if let Some(parent) = category.parent {
                let parent_id = known
                    .get(parent)
                    .with_context(|| format!("category {parent} has no id"))?;
                body["parent_id"] = json!(parent_id);
            }
            let answer = gateway.post_json("/v1/categories", &body, None).await?;
            if answer.status == 409 {
                // Somebody else created it since the list was read.
                known = known_categories(gateway).await?;
                summary.categories_existing += 1;
            } else {
                let created: CategoryItem = answer.created()?;
                known.insert(created.slug, created.category_id);
                summary.categories_created += 1;
            }
        }
        progress(Progress {
            phase: Phase::Categories,
            done: index + 1,
            total: wanted.len(),
        });
    }
    Ok(())
}

async fn known_categories(gateway: &Gateway) -> anyhow::Result<HashMap<String, Uuid>> {
    let list: Categories = gateway.get("/v1/categories").await?.ok()?;
    Ok(list
        .items
        .into_iter()
        .map(|item| (item.slug, item.category_id))
        .collect())
}

#[derive(Debug, Serialize)]
struct Stock {
    sku_id: Uuid,
    on_hand: u32,
}

/// One line of the import's answer. Either it speaks of a line that was sent, or it is the last.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ImportLine {
    Summary { summary: ImportSummary },
    Product(ImportedProduct),
}

#[derive(Debug, Deserialize)]
struct ImportSummary {
    created: usize,
    updated: usize,
    unchanged: usize,
    failed: usize,
}

#[derive(Debug, Deserialize)]
struct ImportedProduct {
    line: usize,
    status: ImportStatus,
    #[serde(default)]
    variants: Vec<ImportedVariant>,
    #[serde(default)]
    errors: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ImportStatus {
    Created,
    Updated,
    Unchanged,
    Failed,
}

#[derive(Debug, Deserialize)]
struct ImportedVariant {
    sku: String,
    sku_id: Uuid,
}

async fn load_products(
    gateway: &Gateway,
    products: &[Product],
    summary: &mut Summary,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> anyhow::Result<Vec<Stock>> {
    let mut stock = Vec::new();
    let mut done = 0;
    while done < products.len() {
        let (body, lines) = chunk(&products[done..])?;
        let sent = &products[done..done + lines];
        let answer = gateway.import(body).await?;
        stock.extend(imported_stock(sent, &answer, summary)?);
        done += lines;
        progress(Progress {
            phase: Phase::Products,
            done,
            total: products.len(),
        });
    }
    Ok(stock)
}

/// As many products as one request may carry, as NDJSON, and how many those are.
fn chunk(products: &[Product]) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut lines = 0;
    for product in products.iter().take(IMPORT_LINES_MAX) {
        let before = body.len();
        serde_json::to_writer(&mut body, product).context("serialize a product")?;
        body.push(b'\n');
        if body.len() > IMPORT_BYTES_MAX && lines > 0 {
            body.truncate(before);
            break;
        }
        lines += 1;
    }
    Ok((body, lines))
}

/// The answer must speak of every line once, name the id of every SKU, and end with a summary.
fn imported_stock(
    sent: &[Product],
    answer: &[ImportLine],
    summary: &mut Summary,
) -> anyhow::Result<Vec<Stock>> {
    let mut lines: BTreeMap<usize, &ImportedProduct> = BTreeMap::new();
    let mut last = None;
    for line in answer {
        match line {
            ImportLine::Product(product) => {
                ensure!(
                    lines.insert(product.line, product).is_none(),
                    "line {} was answered twice",
                    product.line
                );
            }
            ImportLine::Summary { summary } => last = Some(summary),
        }
    }
    let last = last.context("the import's answer ended before its summary")?;
    refuse_failures(sent, &lines, last.failed)?;
    ensure!(
        lines.len() == sent.len() && last.created + last.updated + last.unchanged == sent.len(),
        "{} products sent, {} lines answered, {} created, {} updated and {} unchanged",
        sent.len(),
        lines.len(),
        last.created,
        last.updated,
        last.unchanged
    );
    summary.products_created += last.created;
    summary.products_updated += last.updated;
    summary.products_unchanged += last.unchanged;
    let mut stock = Vec::new();
    for (product, line) in sent.iter().zip(1..) {
        let imported = lines
            .get(&line)
            .with_context(|| format!("line {line} was not answered"))?;
        let ids: HashMap<&str, Uuid> = imported
            .variants
            .iter()
            .map(|variant| (variant.sku.as_str(), variant.sku_id))
            .collect();
        for variant in &product.variants {
            let sku_id = *ids
                .get(variant.sku.as_str())
                .with_context(|| format!("{} got no sku_id", variant.sku))?;
            stock.push(Stock {
                sku_id,
                on_hand: variant.on_hand,
            });
        }
    }
    Ok(stock)
}

fn refuse_failures(
    sent: &[Product],
    lines: &BTreeMap<usize, &ImportedProduct>,
    failed_count: usize,
) -> anyhow::Result<()> {
    let failed = lines.values().filter(|line| line.status == ImportStatus::Failed);
    let quoted: Vec<String> = failed
        .take(FAILURES_QUOTED_MAX)
        .map(|line| {
            let handle = line
                .line
                .checked_sub(1)
                .and_then(|at| sent.get(at))
                .map_or("?", |p| p.handle.as_str());
            format!("{handle}: {}", line.errors)
        })
        .collect();
    if failed_count > 0 || !quoted.is_empty() {
        bail!(
            "{failed_count} of {} products were refused: {}",
            sent.len(),
            quoted.join("; ")
        );
    }
    Ok(())
}

async fn load_stock(
    gateway: &Gateway,
    stock: &[Stock],
    progress: &(impl Fn(Progress) + Send + Sync),
) -> anyhow::Result<()> {
    let mut done = 0;
    for items in stock.chunks(STOCK_ITEMS_MAX) {
        let body = json!({"items": items});
        // Derived from the content: a repeated load repeats its keys.
        let key = Uuid::new_v5(&KEY_NAMESPACE, body.to_string().as_bytes()).to_string();
        let answer: StockAnswer = gateway
            .post_json("/v1/inventory:batch", &body, Some(&key))
            .await?
            .ok()?;
        ensure!(
            answer.items.len() == items.len(),
            "{} SKUs sent, {} answered",
            items.len(),
            answer.items.len()
        );
        done += items.len();
        progress(Progress {
            phase: Phase::Stock,
            done,
            total: stock.len(),
        });
    }
    Ok(())
}

#[derive(Deserialize)]
struct StockAnswer {
    items: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(products: &[Product]) -> Vec<ImportLine> {
        let mut lines: Vec<ImportLine> = products
            .iter()
            .zip(1..)
            .map(|(product, line)| {
                ImportLine::Product(ImportedProduct {
                    line,
                    status: ImportStatus::Created,
                    variants: product
                        .variants
                        .iter()
                        .map(|v| ImportedVariant {
                            sku: v.sku.clone(),
                            sku_id: Uuid::new_v5(&KEY_NAMESPACE, v.sku.as_bytes()),
                        })
                        .collect(),
                    errors: Value::Null,
                })
            })
            .collect();
        let summary = ImportSummary {
            created: products.len(),
            updated: 0,
            unchanged: 0,
            failed: 0,
        };
        lines.push(ImportLine::Summary { summary });
        lines
    }

    #[test]
    fn chunks_keep_to_their_bounds_and_lose_nothing() {
        let products: Vec<Product> = generate(42, 1_000).collect();
        let (mut done, mut requests) = (0, 0);
        while done < products.len() {
            let (body, lines) = chunk(&products[done..]).unwrap();
            assert!((1..=IMPORT_LINES_MAX).contains(&lines) && body.len() <= IMPORT_BYTES_MAX);
            assert_eq!(body.split_inclusive(|byte| *byte == b'\n').count(), lines);
            done += lines;
            requests += 1;
        }
        assert_eq!((done, requests), (1_000, 5));
    }

    #[test]
    fn every_sku_of_an_import_gets_its_stock() {
        let products: Vec<Product> = generate(42, 30).collect();
        let mut summary = Summary::default();
        let stock = imported_stock(&products, &answered(&products), &mut summary).unwrap();
        assert_eq!(
            stock.len(),
            products
                .iter()
                .map(|product| product.variants.len())
                .sum::<usize>()
        );
        assert_eq!(summary.products_created, 30);
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        let products: Vec<Product> = generate(42, 5).collect();
        let mut answer = answered(&products);
        answer.pop();
        let error = imported_stock(&products, &answer, &mut Summary::default()).unwrap_err();
        assert!(error.to_string().contains("ended before its summary"), "{error}");

        let mut answer = answered(&products);
        answer.remove(2);
        assert!(imported_stock(&products, &answer, &mut Summary::default()).is_err());
    }

    #[test]
    fn a_refused_product_is_named() {
        let products: Vec<Product> = generate(42, 3).collect();
        let mut answer = answered(&products);
        let ImportLine::Product(line) = &mut answer[1] else {
            panic!("the second line is a product")
        };
        line.status = ImportStatus::Failed;
        line.errors = json!([{"field": "category", "reason": "unknown"}]);
        answer[3] = ImportLine::Summary {
            summary: ImportSummary {
                created: 2,
                updated: 0,
                unchanged: 0,
                failed: 1,
            },
        };
        let error = imported_stock(&products, &answer, &mut Summary::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&products[1].handle) && error.contains("category"),
            "{error}"
        );
    }
}
