//! Prints the sample catalog, or loads it into a running platform.

use std::io::{BufWriter, Write, stdout};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ferrocart_sample_catalog::{LoadOptions, Phase, Progress, generate, load, log_in};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

#[derive(Parser)]
#[command(about = "The sample catalog: the same seed gives the same products", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the products as NDJSON, a line each as POST /v1/products:import takes it.
    Generate(Catalog),
    /// Print the stock of every SKU as NDJSON.
    Stock(Catalog),
    /// Load categories, products and stock through the gateway.
    Load(Load),
}

#[derive(Args)]
struct Catalog {
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[arg(long, default_value_t = 1_200)]
    products: usize,
}

#[derive(Args)]
struct Load {
    #[command(flatten)]
    catalog: Catalog,
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    gateway_url: String,
    /// An account with the role merchant.
    #[arg(long, env = "FERROCART_MERCHANT_EMAIL")]
    email: String,
    #[arg(long, env = "FERROCART_MERCHANT_PASSWORD", hide_env_values = true)]
    password: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Generate(catalog) => print_products(&catalog),
        Command::Stock(catalog) => print_stock(&catalog),
        Command::Load(options) => load_catalog(options).await,
    }
}

fn print_products(catalog: &Catalog) -> anyhow::Result<()> {
    print_lines(generate(catalog.seed, catalog.products).map(|product| serde_json::to_string(&product)))
}

fn print_stock(catalog: &Catalog) -> anyhow::Result<()> {
    let variants = generate(catalog.seed, catalog.products).flat_map(|product| product.variants);
    print_lines(
        variants.map(|variant| Ok(json!({"sku": variant.sku, "on_hand": variant.on_hand}).to_string())),
    )
}

fn print_lines(lines: impl Iterator<Item = serde_json::Result<String>>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    for line in lines {
        writeln!(out, "{}", line.context("serialize a line")?).context("write to standard output")?;
    }
    out.flush().context("write to standard output")
}

async fn load_catalog(options: Load) -> anyhow::Result<()> {
    let merchant_token = log_in(&options.gateway_url, &options.email, &options.password).await?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:<10} {bar:40} {pos}/{len}")?);
    let summary = load(LoadOptions {
        gateway_url: options.gateway_url,
        merchant_token,
        seed: options.catalog.seed,
        products: options.catalog.products,
        progress: |progress| show(&bar, progress),
    })
    .await?;
    bar.finish_and_clear();
    print_lines(std::iter::once(serde_json::to_string(&summary)))
}

fn show(bar: &ProgressBar, progress: Progress) {
    let Progress { phase, done, total } = progress;
    bar.set_length(u64::try_from(total).unwrap_or(u64::MAX));
    bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
    bar.set_message(match phase {
        Phase::Categories => "categories",
        Phase::Products => "products",
        Phase::Stock => "stock",
    });
}
