//! `up` and `demo`.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ferrocart_stack::{Component, Components, PortPlan, Ports, Service, Stack};

use super::{Up, report, screen, variables};

const KEEPS_RUNNING: &str =
    "What did start keeps running: `make status` shows it, `make down` stops it, the same command goes on.";

#[derive(Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    up: Up,
    /// Passed on to the shopper, such as `-- --verbose`
    #[arg(last = true)]
    shopper_args: Vec<String>,
}

pub(crate) async fn up(options: Up) -> Result<ExitCode> {
    let began = Instant::now();
    let is_whole = options.is_whole();
    let stack = bring_up(options).await?;
    screen::show(&stack, is_whole, began.elapsed())?;
    Ok(ExitCode::SUCCESS)
}

impl Up {
    fn is_whole(&self) -> bool {
        !self.stores_only && self.only.is_empty()
    }
}

async fn bring_up(options: Up) -> Result<Stack> {
    let progress = report::reporter();
    progress.note(&format!("Ferrocart in {}", options.folder.folder.display()));
    let components = match (options.stores_only, &*options.only) {
        (true, _) => Components::Stores,
        (false, []) => Components::All,
        (false, some) => Components::Of(some.to_vec()),
    };
    let with_samples = options.is_whole() && !options.no_sample_data;
    let started = Stack::builder()
        .folder(&options.folder.folder)
        .ports(Ports::Fixed(PortPlan::from_variables(&variables())?))
        .components(components)
        .binaries(options.binaries.folder()?)
        .external(options.engines.external())
        .progress(Arc::clone(&progress))
        .detached()
        .start()
        .await;
    let runs =
        |folder: &Path| ferrocart_stack::status(folder).is_ok_and(|all| all.iter().any(|c| c.pid.is_some()));
    if started.is_err() && runs(&options.folder.folder) {
        progress.note(KEEPS_RUNNING);
    }
    let stack = started?;
    if with_samples {
        stack.create_sample_accounts().await?;
        stack.load_sample_catalog(options.products).await?;
    }
    Ok(stack)
}

/// Brings the platform up and lets the shopper loose on it.
pub(crate) async fn demo(demo: Demo) -> Result<ExitCode> {
    let options = demo.up;
    if !options.is_whole() || options.no_sample_data {
        bail!("the demo needs the whole platform with its sample data");
    }
    let shopper = options.binaries.folder()?.join("ferrocart-shopper");
    let stack = bring_up(options).await?;
    let mut command = tokio::process::Command::new(&shopper);
    command
        .arg("--gateway-url")
        .arg(stack.url(Service::Gateway))
        .arg("--provider-url")
        .arg(stack.url(Component::PspSandbox))
        .arg("--accounts")
        .arg(stack.accounts_file())
        .arg("--mail-dir")
        .arg(stack.mail_dir())
        .args(demo.shopper_args)
        .stdin(Stdio::null());
    // Other commands may use the folder while the demo runs.
    drop(stack);
    let status = command
        .status()
        .await
        .with_context(|| format!("run {}", shopper.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
