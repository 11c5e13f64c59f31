//! `stack.json`: what runs, so that a later command finds it again and stops nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, write_private};

const VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    pub(crate) stack_id: String,
    /// The process whose end ends the stack; none for a stack that outlives the command which started it.
    pub(crate) owner: Option<ProcessId>,
    pub(crate) bin_dir: Option<PathBuf>,
    /// Data that cannot lie in the stack's folder, to be removed with it.
    pub(crate) outside_folder: Option<PathBuf>,
    /// By component name.
    pub(crate) processes: BTreeMap<String, ProcessRecord>,
    /// By component name; external engines too.
    pub(crate) urls: BTreeMap<String, String>,
    pub(crate) accounts_created: bool,
    pub(crate) catalog_loaded: bool,
}

/// Names one process for ever: its id alone is recycled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    pub(crate) identity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    #[serde(flatten)]
    pub(crate) id: ProcessId,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
    /// Of the program, its arguments, settings and files: it differs when a restart would change something.
    pub(crate) digest: String,
}

impl State {
    pub(crate) fn new(stack_id: &str) -> Self {
        Self {
            version: VERSION,
            stack_id: stack_id.to_owned(),
            owner: None,
            bin_dir: None,
            outside_folder: None,
            processes: BTreeMap::new(),
            urls: BTreeMap::new(),
            accounts_created: false,
            catalog_loaded: false,
        }
    }

    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let state: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if state.version != VERSION {
            bail!(
                "{} is of version {}, this program writes {VERSION}",
                path.display(),
                state.version
            );
        }
        Ok(Some(state))
    }

    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        write_private(&layout.state(), &serde_json::to_string_pretty(self)?)
    }
}
