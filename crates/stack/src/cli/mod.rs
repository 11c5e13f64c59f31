//! The commands.

mod logs;
mod report;
mod screen;
mod test_env;
mod up;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use ferrocart_stack::{Component, External};

/// Starts, shows and stops the Ferrocart platform on this machine.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start what does not run yet, load the sample data once, show the addresses
    Up(Up),
    /// Stop everything that was started in the folder, and nothing else
    Down {
        #[command(flatten)]
        folder: Folder,
        /// Also remove the folder with all its data
        #[arg(long)]
        wipe: bool,
    },
    /// Show what runs
    Status(Folder),
    /// Print the last lines of the logs
    Logs(logs::Logs),
    /// Print the addresses, a line each: component, address
    Urls(Folder),
    /// Shop on the platform, starting it if it does not run
    Demo(up::Demo),
    /// Run a command with stores of its own, which end with it
    TestEnv(test_env::TestEnv),
}

#[derive(Args)]
struct Folder {
    /// Where the stack keeps its data, logs and keys
    #[arg(long, default_value = ".ferrocart/run", env = "FERROCART_FOLDER")]
    folder: PathBuf,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    folder: Folder,
    /// Only PostgreSQL, Redis and Kafka
    #[arg(long)]
    stores_only: bool,
    /// Only these, by name, separated by commas (no sample data)
    #[arg(long, value_delimiter = ',', value_parser = component, conflicts_with = "stores_only")]
    only: Vec<Component>,
    #[command(flatten)]
    binaries: Binaries,
    #[command(flatten)]
    engines: Engines,
    /// How many products the sample catalog has
    #[arg(long, default_value_t = 1_200)]
    products: usize,
    /// Neither sample accounts nor a sample catalog
    #[arg(long)]
    no_sample_data: bool,
}

#[derive(Args)]
struct Binaries {
    /// The folder of the services' binaries [default: the one of this program]
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

impl Binaries {
    fn folder(&self) -> Result<PathBuf> {
        if let Some(given) = &self.bin_dir {
            return given
                .canonicalize()
                .with_context(|| format!("find {}", given.display()));
        }
        let program = std::env::current_exe().context("find this program")?;
        Ok(program.parent().map(Path::to_owned).unwrap_or_default())
    }
}

/// Engines that exist already and are used instead of our own.
#[derive(Args)]
struct Engines {
    /// URL of a PostgreSQL role that may create databases and roles
    #[arg(long, env = "POSTGRES_ADMIN_URL", hide_env_values = true)]
    postgres_admin_url: Option<String>,
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// A Redis that keeps the carts; without one they are in the other
    #[arg(long, env = "REDIS_CART_URL", hide_env_values = true)]
    redis_cart_url: Option<String>,
    #[arg(long, env = "KAFKA_BROKERS")]
    kafka_brokers: Option<String>,
}

impl Engines {
    fn external(self) -> External {
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        External {
            postgres_admin: given(self.postgres_admin_url),
            redis: given(self.redis_url),
            redis_cart: given(self.redis_cart_url),
            kafka_brokers: given(self.kafka_brokers),
        }
    }
}

pub(crate) async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Up(options) => up::up(options).await,
        Command::Down { folder, wipe } => down(&folder.folder, wipe).await,
        Command::Status(folder) => status(&folder.folder).await,
        Command::Logs(options) => logs::logs(&options).await,
        Command::Urls(folder) => urls(&folder.folder),
        Command::Demo(options) => up::demo(options).await,
        Command::TestEnv(options) => test_env::test_env(options).await,
    }
}

async fn down(folder: &Path, wipe: bool) -> Result<ExitCode> {
    let progress = report::reporter();
    let count = ferrocart_stack::down(folder, progress.as_ref()).await?;
    match count {
        0 => println!("Nothing runs in {}.", folder.display()),
        _ => println!("Stopped {count} processes."),
    }
    if wipe {
        ferrocart_stack::wipe(folder)?;
        println!("Removed {} with all data.", folder.display());
    } else if count > 0 {
        println!("The data stays in {}.", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(folder: &Path) -> Result<ExitCode> {
    let components = ferrocart_stack::status(folder)?;
    if components.is_empty() {
        println!("Nothing runs in {}; start it with `make run`.", folder.display());
        return Ok(ExitCode::FAILURE);
    }
    let mut all_well = true;
    println!("{:<14} {:<8} {:<6} STATE", "COMPONENT", "PID", "PORT");
    for status in components {
        let (pid, state) = match status.pid {
            None => ("-".to_owned(), format!("ended; see {}", status.log.display())),
            Some(pid) => match status.probe().await {
                Ok(()) => (pid.to_string(), "ready".to_owned()),
                Err(error) => (pid.to_string(), format!("not ready: {error:#}")),
            },
        };
        all_well &= state == "ready";
        println!(
            "{:<14} {:<8} {:<6} {state}",
            status.component.name(),
            pid,
            status.port
        );
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn urls(folder: &Path) -> Result<ExitCode> {
    let urls = ferrocart_stack::urls(folder)?;
    if urls.is_empty() {
        bail!("nothing was started in {}", folder.display());
    }
    for component in Component::all() {
        if let Some(url) = urls.get(component.name()) {
            println!("{:<14} {url}", component.name());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn component(name: &str) -> Result<Component, String> {
    let names = || {
        Component::all()
            .into_iter()
            .map(Component::name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    Component::named(name).ok_or_else(|| format!("there is no component {name}; there are {}", names()))
}

/// Our own variables, for the ports; others may not be text.
fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
