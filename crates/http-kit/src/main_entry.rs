use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ferrocart_config::ConfigError;
use ferrocart_telemetry::TelemetrySettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A request makes and drops some hundred small pieces of memory on several threads: the system's allocator
/// takes a tenth of a busy service's time for that, this one a third of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a service's binary needs to know of it.
pub trait ServiceMain {
    /// Such as `order`.
    const NAME: &'static str;
    /// The text of `config.default.toml`.
    const DEFAULTS: &'static str;
    type Settings: DeserializeOwned + Send;

    /// Refuses values that make no sense together.
    fn validate(settings: &Self::Settings) -> Result<(), ConfigError>;
    fn telemetry(settings: &Self::Settings) -> &TelemetrySettings;
    fn openapi() -> utoipa::openapi::OpenApi;
    /// The document as it is served, by a service that knows those of its neighbours, by their names.
    fn document(_neighbours: &BTreeMap<String, Value>) -> serde_json::Result<Value> {
        crate::openapi::openapi_document(&Self::openapi())
    }
    fn migrate(settings: Self::Settings) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Serves until the token is cancelled.
    fn serve(
        settings: Self::Settings,
        cancel: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the database up to date, then serve until SIGTERM
    Serve,
    /// Bring the database up to date and end
    Migrate,
    /// Read the settings, say whether they are right, and end
    CheckConfig,
    /// Print the OpenAPI document
    Openapi {
        /// A folder with the documents of other services, such as `cart.json`, for the service that joins them
        #[arg(long)]
        with: Option<PathBuf>,
    },
}

/// The whole of a service's `main`.
pub fn run_main<S: ServiceMain>() -> ExitCode {
    match run::<S>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The subscriber may not be up, and a person may be reading: plain text.
            eprintln!("ferrocart-{}: {error:#}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

fn run<S: ServiceMain>() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    if let Command::Openapi { with } = &command {
        let neighbours = with.as_deref().map_or_else(|| Ok(BTreeMap::new()), documents)?;
        print(&serde_json::to_string_pretty(&S::document(&neighbours)?)?);
        return Ok(());
    }
    let settings: S::Settings = ferrocart_config::load(S::DEFAULTS)?;
    S::validate(&settings)?;
    if let Command::CheckConfig = command {
        print("configuration: ok");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let telemetry = ferrocart_telemetry::init(S::NAME, S::telemetry(&settings))?;
        let outcome = match command {
            Command::Migrate => S::migrate(settings).await,
            _ => S::serve(settings, crate::lifecycle::shutdown_signal()?).await,
        };
        if let Err(error) = &outcome {
            tracing::error!(error = format!("{error:#}"), "the service failed");
        }
        // Exporting the last spans blocks; not on a thread of the runtime.
        tokio::task::spawn_blocking(move || drop(telemetry)).await?;
        outcome
    })
}

fn documents(folder: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            found.insert(name.to_owned(), serde_json::from_slice(&std::fs::read(&path)?)?);
        }
    }
    Ok(found)
}

/// A reader that has seen enough and closed the pipe, such as `head`, is no failure.
fn print(text: &str) {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}
