//! How well searches are answered: judged queries over the sample catalog, asked through the gateway.

mod judged;
mod measure;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_sample_catalog::{LoadOptions, Product, generate};
use ferrocart_stack::{Service, Stack};
use serde::Deserialize;

use self::measure::{DEPTH, mean, ndcg};
use crate::checkout::buyer;
use crate::report::Figure;

const SEED: u64 = 42;
const PRODUCTS: usize = 1_000;
const INDEXED_DEADLINE: Duration = Duration::from_mins(3);
const INDEXED_POLL: Duration = Duration::from_millis(250);
/// The worst answers, which show where there is something to gain.
const WORST_SHOWN: usize = 5;

#[derive(Deserialize)]
struct Found {
    items: Vec<Item>,
    total: u64,
}

#[derive(Deserialize)]
struct Item {
    title: String,
}

/// What became of one query.
struct Outcome {
    text: String,
    ndcg_permille: u64,
    found: bool,
}

/// The same index gives the same answers, so that one run is enough.
pub async fn run(binaries: PathBuf, engine: &str) -> Result<(Vec<Figure>, Vec<String>)> {
    let queries = judged::queries()?;
    let products: Vec<Product> = generate(SEED, PRODUCTS).collect();
    let stack = Stack::builder()
        .binaries(&binaries)
        .env(Service::Search, "SEARCH_ENGINE", engine)
        .start()
        .await
        .context("bring the platform up")?;
    stack.create_sample_accounts().await?;
    ferrocart_sample_catalog::load(LoadOptions {
        gateway_url: stack.url(Service::Gateway),
        merchant_token: stack.access_token("merchant").await?,
        seed: SEED,
        products: PRODUCTS,
        progress: |_| {},
    })
    .await
    .context("load the sample catalog")?;
    let gateway = stack.url(Service::Gateway);
    indexed(&gateway).await?;
    let mut outcomes = Vec::new();
    for (number, query) in queries.iter().enumerate() {
        let found = search(number, &gateway, &query.text).await?;
        outcomes.push(judge(query, &found, &products)?);
    }
    stack.down().await?;
    Ok(report(outcomes, kind(engine)))
}

async fn search(number: usize, gateway: &str, text: &str) -> Result<Found> {
    let answer = buyer(number)?
        .get(format!("{gateway}/v1/search"))
        .query(&[("q", text), ("limit", &DEPTH.to_string())])
        .send()
        .await
        .context("GET /v1/search")?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "GET /v1/search: {status}: {body}");
    serde_json::from_str(&body).context("GET /v1/search")
}

async fn indexed(gateway: &str) -> Result<()> {
    let deadline = Instant::now() + INDEXED_DEADLINE;
    loop {
        let found = search(0, gateway, "").await?;
        if usize::try_from(found.total).is_ok_and(|total| total == PRODUCTS) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} of {PRODUCTS} products were indexed in time",
            found.total
        );
        tokio::time::sleep(INDEXED_POLL).await;
    }
}

fn judge(query: &judged::Query, found: &Found, products: &[Product]) -> Result<Outcome> {
    let grades: BTreeMap<&str, u8> = products
        .iter()
        .map(|product| (product.title.as_str(), query.grade(product)))
        .collect();
    let hits = found
        .items
        .iter()
        .map(|item| {
            let grade = grades.get(item.title.as_str()).copied();
            grade.with_context(|| format!("{} is not of the sample catalog", item.title))
        })
        .collect::<Result<Vec<u8>>>()?;
    let all: Vec<u8> = grades.into_values().collect();
    let ndcg_permille = ndcg(&hits, &all).with_context(|| format!("nothing answers {:?}", query.text))?;
    Ok(Outcome {
        text: query.text.clone(),
        ndcg_permille,
        found: found.total > 0,
    })
}

/// A cluster's address may hold a password.
fn kind(engine: &str) -> &'static str {
    if engine == "embedded" {
        "embedded engine"
    } else {
        "cluster"
    }
}

fn report(mut outcomes: Vec<Outcome>, engine: &str) -> (Vec<Figure>, Vec<String>) {
    let all: Vec<u64> = outcomes.iter().map(|outcome| outcome.ndcg_permille).collect();
    let without = outcomes.iter().filter(|outcome| !outcome.found).count();
    let without = u64::try_from(without * 1_000)
        .unwrap_or(u64::MAX)
        .checked_div(u64::try_from(outcomes.len()).unwrap_or(u64::MAX))
        .unwrap_or(0);
    let figures = vec![
        Figure::new(&format!("search: NDCG@10, {engine}"), " ‰", vec![mean(&all)]),
        Figure::new(
            &format!("search: queries without a hit, {engine}"),
            " ‰",
            vec![without],
        ),
    ];
    let count = outcomes.len();
    outcomes.sort_by_key(|outcome| outcome.ndcg_permille);
    let worst: Vec<String> = outcomes
        .iter()
        .take(WORST_SHOWN)
        .map(|outcome| format!("{:?} {} ‰", outcome.text, outcome.ndcg_permille))
        .collect();
    let note = format!(
        "search: {count} judged queries over {PRODUCTS} products; answered worst: {}",
        worst.join(", ")
    );
    (figures, vec![note])
}
