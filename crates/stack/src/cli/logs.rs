//! `logs`: the last lines of each component's log, and what follows.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ferrocart_stack::Component;

use super::Folder;

/// How much of a log is read for its last lines, and at most at once while following.
const CHUNK_BYTES: u64 = 256 * 1024;
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Logs {
    /// Only this component
    #[arg(value_parser = super::component)]
    component: Option<Component>,
    #[command(flatten)]
    folder: Folder,
    /// Go on as lines are added
    #[arg(short, long)]
    follow: bool,
    /// How many lines of each
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
}

struct Source {
    prefix: String,
    path: PathBuf,
    offset: u64,
    /// A line that is not complete yet.
    rest: String,
}

pub(crate) async fn logs(options: &Logs) -> Result<ExitCode> {
    let mut sources = sources(options)?;
    for source in &mut sources {
        let length = source.length()?;
        source.offset = length.saturating_sub(CHUNK_BYTES);
        let text = source.read_on()?;
        let all: Vec<&str> = text.lines().collect();
        for line in all
            .get(all.len().saturating_sub(options.lines)..)
            .unwrap_or_default()
        {
            println!("{}{line}", source.prefix);
        }
    }
    if !options.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        for source in &mut sources {
            source.follow()?;
        }
    }
}

fn sources(options: &Logs) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for component in Component::all() {
        if options.component.is_some_and(|only| only != component) {
            continue;
        }
        let path = options
            .folder
            .folder
            .join("logs")
            .join(format!("{component}.log"));
        let prefix = if options.component.is_some() {
            String::new()
        } else {
            format!("{component:<13} | ")
        };
        if path.exists() {
            sources.push(Source {
                prefix,
                path,
                offset: 0,
                rest: String::new(),
            });
        }
    }
    if sources.is_empty() {
        bail!("there are no logs in {}", options.folder.folder.display());
    }
    Ok(sources)
}

impl Source {
    fn length(&self) -> Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            // It was set aside a moment ago.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| format!("read {}", self.path.display())),
        }
    }

    fn read_on(&mut self) -> Result<String> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = Vec::new();
            file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().with_context(|| format!("read {}", self.path.display()))?;
        self.offset += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn follow(&mut self) -> Result<()> {
        let length = self.length()?;
        if length < self.offset {
            self.offset = 0;
        }
        if length == self.offset {
            return Ok(());
        }
        let text = std::mem::take(&mut self.rest) + &self.read_on()?;
        let (complete, rest) = text.rsplit_once('\n').map_or(("", text.as_str()), |parts| parts);
        for line in complete.lines() {
            println!("{}{line}", self.prefix);
        }
        rest.clone_into(&mut self.rest);
        Ok(())
    }
}
